"""Trained networks → files for other runtimes, each verified to compute the same.

A target is a frozen dataclass that is called with a module, its input, a path and metadata, and
returns an ExportedModel. ``Quantize`` makes a QuantizedModel of it: the same in 8-bit integers.
"""

from __future__ import annotations

from typing import TypeAlias

from edgeprune.choices import Choices
from edgeprune.export.executorch_program import ExecuTorchTarget
from edgeprune.export.onnx import OnnxTarget
from edgeprune.export.quantize import Quantize
from edgeprune.export.torch_program import TorchTarget

__all__ = ["TARGETS", "ExecuTorchTarget", "OnnxTarget", "Quantize", "Target", "TorchTarget"]

Target: TypeAlias = OnnxTarget | ExecuTorchTarget | TorchTarget

TARGETS: Choices[type[OnnxTarget] | type[ExecuTorchTarget] | type[TorchTarget]] = Choices(
    "target", {"onnx": OnnxTarget, "executorch": ExecuTorchTarget, "torch": TorchTarget}
)
