"""Trained networks → files for other runtimes, each proved to compute the same.

A target is a frozen dataclass that is called with a module, its input, a path and metadata, and
returns an ExportedModel.
"""

from __future__ import annotations

from edgeprune.choices import Choices
from edgeprune.export.onnx import OnnxTarget

__all__ = ["TARGETS", "OnnxTarget"]

TARGETS = Choices("target", {"onnx": OnnxTarget})
