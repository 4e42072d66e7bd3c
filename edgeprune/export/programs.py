"""A PyTorch module → a file for a runtime of PyTorch's own, from one exported program.

The file appears whole, and verified to compute what the module does, or not at all.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from edgeprune.artifacts import ExportedModel, no_progress
from edgeprune.deep_stack import with_room
from edgeprune.errors import ModelUnsupported, UsageError, first_line
from edgeprune.export.calling import Flat, in_eval_mode
from edgeprune.export.parity import TOLERANCE, Verification
from edgeprune.layer_names import require_plain
from edgeprune.random_inputs import random_inputs
from edgeprune.whole_file import writing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import nn
    from torch.export import ExportedProgram

    from edgeprune.artifacts import InputSpec, Progress
    from edgeprune.export.parity import Run


@dataclass(frozen=True, slots=True)
class ProgramTarget(ABC):
    """Writes exported programs, in float32 and at batch 1.

    Attributes:
        opset: None; only ONNX has opsets.
        dynamic_batch: False; programs are written at batch 1.
        tolerance: Largest difference from PyTorch's outputs that counts as rounding, as a share of
            an output's scale.

    Raises:
        UsageError: If ``opset`` or ``dynamic_batch`` is set.
    """

    suffix: ClassVar[str]
    opset: int | None = None
    dynamic_batch: bool = False
    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        """Refuse options that only ONNX has."""
        if self.opset is not None or self.dynamic_batch:
            raise UsageError("--opset and --dynamic-batch are for --target onnx")

    @abstractmethod
    def write(self, program: ExportedProgram, metadata: Mapping[str, str], path: Path) -> None:
        """Write the file, with ``metadata`` if the format has room for it."""

    @abstractmethod
    def runner(self, path: Path) -> Run:
        """Function that runs a written file."""

    @with_room
    def __call__(
        self,
        module: nn.Module,
        input: InputSpec,  # noqa: A002 (the field's word)
        path: Path,
        metadata: Mapping[str, str],
        progress: Progress | None = None,
        seed: int = 0,
    ) -> ExportedModel:
        """Export a network; see ``OnnxTarget``.

        Raises:
            DeviceFailed: If the package that writes the format is not installed.
            ModelUnsupported: If the network cannot be traced, or not be written in the format.
            VerificationFailed: If the file computes something else than the network.
        """
        progress = progress or no_progress
        program = program_of(module, input)
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing(path) as whole:
            draft = whole.with_name(path.name)
            progress(0.0, f"writing {path.name}")
            self.write(program, metadata, draft)
            progress(0.6, "comparing the file with PyTorch")
            verify = Verification(seed=seed, tolerance=self.tolerance)
            parity = verify(self.runner(draft), module, input, path.name)
            draft.replace(whole)
        progress(1.0, "exported")
        content = path.read_bytes()
        return ExportedModel(path, None, len(content), hashlib.sha256(content).hexdigest(), parity)


def program_of(module: nn.Module, input: InputSpec) -> ExportedProgram:  # noqa: A002
    """The operators of a network at batch 1, its outputs as one tuple.

    Raises:
        ModelRefused: If a name in the network could become code.
        ModelUnsupported: If PyTorch cannot trace the network.
    """
    require_plain(module, "the network")
    like = next(module.parameters(), torch.empty(0))
    inputs = tuple(tensor.to(like.device) for tensor in random_inputs(input, batch=1))
    with in_eval_mode(module):
        try:
            return torch.export.export(Flat(module), inputs)
        except Exception as cause:  # whatever tracing a stranger's forward raises
            reason = first_line(cause)
            raise ModelUnsupported(f"cannot be written as a program: {reason}") from cause
