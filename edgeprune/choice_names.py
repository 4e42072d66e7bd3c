"""The names of every choice, where help, completion and typing mistakes need no more than these.

Each is the list of names of a table of classes, which to import takes PyTorch; a test holds both
against each other.
"""

from __future__ import annotations

RECOVERY_METHODS = (
    *("none", "auto", "nm", "lbyl", "statistics", "analytic", "reconstruct", "blockwise"),
    *("supervise", "distill"),
)
"""``recovery.METHODS``."""

CRITERIA = ("l1", "l2", "bn", "geometric-median", "random", "rebuild", "auto")
"""``pruning.CRITERIA``."""

SCOPES = ("local", "global", "marginal", "sensitivity")
"""``pruning.SCOPES``."""

IMAGE_SOURCES = ("dead-leaves", "pink-noise", "inversion", "generator")
"""``images.sources.SOURCES``."""

TARGETS = ("onnx", "executorch", "torch")
"""``export.TARGETS``."""

RANGE_OBSERVERS = ("min-max", "percentile", "mse")
"""``calibration.observers.OBSERVERS``."""

WEIGHT_ROUNDINGS = ("outputs", "nearest")
"""``export.roundings.ROUNDINGS``."""
