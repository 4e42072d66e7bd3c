"""Trained networks → files for other runtimes, each verified to compute the same.

A target is a frozen dataclass that is called with a module, its input, a path and metadata, and
returns an ExportedModel.
"""

from __future__ import annotations

from typing import TypeAlias

from edgeprune.choices import Choices
from edgeprune.export.executorch_program import ExecuTorchTarget
from edgeprune.export.onnx import OnnxTarget
from edgeprune.export.torch_program import TorchTarget

__all__ = ["TARGETS", "ExecuTorchTarget", "OnnxTarget", "Target", "TorchTarget"]

Target: TypeAlias = OnnxTarget | ExecuTorchTarget | TorchTarget

TARGETS: Choices[type[OnnxTarget] | type[ExecuTorchTarget] | type[TorchTarget]] = Choices(
    "target", {"onnx": OnnxTarget, "executorch": ExecuTorchTarget, "torch": TorchTarget}
)
