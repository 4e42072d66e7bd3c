"""export → ExportedModel: a file, and the proof that it computes the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ORIGINAL, COMPRESSED = "original.onnx", "compressed.onnx"
"""Names of the two files in a run directory."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the exported file's outputs are from PyTorch's, over many inputs.

    Attributes:
        max_abs_diff: Largest absolute difference, in the output's own units.
        max_rel_diff: Largest difference relative to the largest magnitude of that output.
        argmax_agreement: Share of positions with the same largest channel, ties aside.
        n: Number of inputs compared.
        batch_sizes: Batch sizes that were run.
    """

    max_abs_diff: float
    max_rel_diff: float
    argmax_agreement: float
    n: int
    batch_sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """A file for a runtime, and the proof that it computes what the PyTorch module does.

    Attributes:
        path: The file.
        opset: Opset of the default operator domain; None where the file is not ONNX.
        bytes: Size of the file.
        sha256: Digest of the file, in hexadecimal.
        parity: Comparison with PyTorch.
        notes: Fallbacks that had to be taken, for people; empty when all went well.
        flushed: How many subnormal weights were set to zero, which CPUs are slow with.
    """

    path: Path
    opset: int | None
    bytes: int
    sha256: str
    parity: Parity
    notes: tuple[str, ...] = ()
    flushed: int = 0
