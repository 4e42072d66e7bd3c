"""A PyTorch module → a file for a runtime of PyTorch's own, from one exported program.

The file appears whole, and proved to compute what the module does, or not at all.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar

import torch

from edgeprune.artifacts import ExportedModel, no_progress
from edgeprune.errors import ModelUnsupported, UsageError, first_line
from edgeprune.export.calling import Flat, in_eval_mode
from edgeprune.export.parity import check
from edgeprune.random_inputs import random_inputs

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
        opset: Has no meaning here.
        dynamic_batch: Cannot be had here.

    Raises:
        UsageError: When one of them is asked for.
    """

    suffix: ClassVar[str]
    opset: int | None = None
    dynamic_batch: bool = False

    def __post_init__(self) -> None:
        """Refuse what only ONNX has."""
        if self.opset is not None or self.dynamic_batch:
            raise UsageError("--opset and --dynamic-batch are for --target onnx")

    @abstractmethod
    def write(self, program: ExportedProgram, metadata: Mapping[str, str], path: Path) -> None:
        """Write the file; ``metadata`` where the format has room for it."""

    @abstractmethod
    def runner(self, path: Path) -> Run:
        """What runs a written file."""

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
            DeviceFailed: When what writes the format is not installed.
            ModelUnsupported: When the network cannot be traced, or not be written in it.
            VerificationFailed: When the file computes something else than the network.
        """
        progress = progress or no_progress
        program = program_of(module, input)
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
            draft = type(path)(folder) / path.name
            progress(0.0, f"writing {path.name}")
            self.write(program, metadata, draft)
            progress(0.6, "comparing the file with PyTorch")
            parity = check(self.runner(draft), module, input, seed=seed)
            draft.replace(path)
        progress(1.0, "exported")
        content = path.read_bytes()
        return ExportedModel(path, None, len(content), hashlib.sha256(content).hexdigest(), parity)


def program_of(module: nn.Module, input: InputSpec) -> ExportedProgram:  # noqa: A002
    """The operators of a network at batch 1, its outputs as one tuple.

    Raises:
        ModelUnsupported: When PyTorch cannot trace it.
    """
    like = next(module.parameters(), torch.empty(0))
    inputs = tuple(tensor.to(like.device) for tensor in random_inputs(input, batch=1))
    with in_eval_mode(module):
        try:
            return torch.export.export(Flat(module), inputs)
        except Exception as cause:  # whatever tracing a stranger's forward raises
            reason = first_line(cause)
            raise ModelUnsupported(f"cannot be written as a program: {reason}") from cause
