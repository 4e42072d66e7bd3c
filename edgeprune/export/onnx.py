"""A PyTorch module → one ONNX file, simplified, checked, and verified to compute the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, ClassVar, TypeVar

import onnx
import torch
from torch import nn

from edgeprune.artifacts import ExportedModel, InputSpec, Parity, Progress, no_progress
from edgeprune.deep_stack import with_room
from edgeprune.errors import UsageError, VerificationFailed
from edgeprune.export.calling import in_eval_mode, input_names
from edgeprune.export.explicit_pads import write_pads
from edgeprune.export.exporters import write
from edgeprune.export.parity import TOLERANCE, Verification, in_onnxruntime
from edgeprune.export.simplify import simplify
from edgeprune.export.subnormals import flush_subnormals
from edgeprune.random_inputs import random_inputs
from edgeprune.whole_file import writing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

OPSETS = range(9, 27)
"""Opsets that PyTorch's exporters write and ONNX Runtime runs."""

Verified = TypeVar("Verified")


@dataclass(frozen=True, slots=True)
class OnnxTarget:
    """Writes ONNX files.

    Attributes:
        opset: Opset of the default operator domain; None: the exporter's own choice. Larger: fewer
            and newer operators, and a newer runtime needed.
        dynamic_batch: Leave the batch dimension open; else it is 1, which runtimes plan better.
        simplify: Fold constants and fuse operators in the graph with onnxsim.
        tolerance: Largest difference from PyTorch's outputs that counts as rounding, as a share of
            an output's scale.
    """

    suffix: ClassVar[str] = ".onnx"
    opset: int | None = None
    dynamic_batch: bool = False
    simplify: bool = True
    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        """Refuse an opset that cannot be written.

        Raises:
            UsageError: If the opset is not in ``OPSETS``.
        """
        if self.opset is not None and self.opset not in OPSETS:
            raise UsageError(f"no opset {self.opset}: choose {OPSETS[0]} to {OPSETS[-1]}")

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
        """Export a network; the file appears whole and verified, or not at all.

        Args:
            module: The network; not changed.
            input: Inputs of the network.
            path: The file; its folder is made, a file of that name is replaced.
            metadata: Origin of the network, written into the file: hashes, source.
            progress: Called with the share done and a text; None: no progress.
            seed: Random seed of the inputs on which file and network are compared.

        Returns:
            The file, with the comparison and notes about fallbacks.

        Raises:
            UsageError: If the opset cannot be written.
            ModelUnsupported: If the network cannot be written as ONNX.
            VerificationFailed: If the file computes something else than the network.
        """
        report = progress or no_progress
        verify = Verification(self.dynamic_batch, seed=seed, tolerance=self.tolerance)

        def verified(draft: Path) -> tuple[Parity, int, int]:
            opset, flushed = _finish(draft, {**dict(input.metadata), **metadata})
            parity = verify(in_onnxruntime(draft), module, input, path.name)
            return parity, opset, flushed

        path.parent.mkdir(parents=True, exist_ok=True)
        with writing(path) as whole:
            report(0.0, "writing ONNX")
            drafts, notes = self._drafts(module, input, whole.parent, report)
            report(0.6, "comparing ONNX Runtime with PyTorch")
            draft, (parity, opset, flushed), more = _first_verified(drafts, verified)
            self._require_opset(opset)
            draft.replace(whole)
        report(1.0, "exported")
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        return ExportedModel(path, opset, len(content), digest, parity, (*notes, *more), flushed)

    def _drafts(
        self,
        module: nn.Module,
        input: InputSpec,  # noqa: A002 (the field's word)
        folder: Path,
        report: Progress,
    ) -> tuple[list[Path], tuple[str, ...]]:
        """The simplified file, if that succeeds, then the exporter's own; and notes."""
        plain, simple = folder / "plain.onnx", folder / "simple.onnx"
        batch = 2 if self.dynamic_batch else 1  # an example batch of 1 would be taken as fixed
        like = next(module.parameters(), torch.empty(0))
        inputs = [tensor.to(like.device) for tensor in random_inputs(input, batch=batch)]
        named = dict(zip(input_names(len(inputs), input.names), inputs, strict=True))
        with in_eval_mode(module):
            notes = write(module, named, plain, opset=self.opset, dynamic_batch=self.dynamic_batch)
        if not self.simplify:
            return [plain], notes
        report(0.4, "simplifying")
        problem = simplify(plain, simple)
        return ([simple, plain], notes) if problem is None else ([plain], (*notes, problem))

    def _require_opset(self, opset: int) -> None:
        """Refuse another opset than the requested one."""
        if self.opset is not None and opset != self.opset:
            raise UsageError(
                f"this version of PyTorch writes opset {opset} and not {self.opset}: "
                "choose another one"
            )


def _first_verified(
    drafts: list[Path], verified: Callable[[Path], Verified]
) -> tuple[Path, Verified, tuple[str, ...]]:
    """The first draft that passes, what ``verified`` found, and notes on the drafts before it.

    Raises:
        VerificationFailed: If the last fails.
    """
    first, *others = drafts
    try:
        return first, verified(first), ()
    except VerificationFailed as failure:
        if not others:
            raise
        note = f"not simplified: after simplification, {failure}"
    draft, found, notes = _first_verified(others, verified)
    return draft, found, (note, *notes)


def _finish(draft: Path, metadata: Mapping[str, str]) -> tuple[int, int]:
    """Write the origin into the file, drop the exporter's debugging notes, and check the file.

    The notes hold the source lines, and so the paths, of the machine that exported the file.

    Returns:
        The opset of the default domain, and the number of subnormal weights, now zero.

    Raises:
        VerificationFailed: If the file is no valid ONNX model.
    """
    model = onnx.load(draft)
    model.producer_name = "edgeprune"
    model.producer_version = _own_version()
    graph = model.graph
    write_pads(graph)
    flushed = flush_subnormals(graph)
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.helper.set_model_props(model, dict(metadata))
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as cause:
        raise VerificationFailed(f"the exported file is no valid ONNX model: {cause}") from cause
    onnx.save(model, draft)
    opsets = (each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    return next(opsets), flushed


def _own_version() -> str:
    try:
        return version("edgeprune")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"
