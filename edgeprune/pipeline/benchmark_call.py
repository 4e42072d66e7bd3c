"""``ep.benchmark``: files compared as one calls it from Python; imports no torch."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune import bench
from edgeprune.bench import BenchSettings
from edgeprune.errors import UsageError
from edgeprune.python_words import require_known

if TYPE_CHECKING:
    from edgeprune.artifacts import LatencyComparison, Progress


def benchmark(
    original: str | os.PathLike[str],
    compressed: str | os.PathLike[str],
    settings: BenchSettings | None = None,
    progress: Progress | None = None,
    **changes: Any,
) -> LatencyComparison:
    """Measure two models alternately, session after session.

        ep.benchmark("original.onnx", "compressed.onnx", seconds=10).latency

    Args:
        original: Path of an ONNX file.
        compressed: Path of an ONNX file that takes the same inputs.
        settings: Where and how to measure.
        progress: Called with the share done and what is being done.
        **changes: Fields of ``BenchSettings``, which beat ``settings``.

    Returns:
        Both measurements, and the ratio of latencies with its interval.

    Raises:
        UsageError: When a file does not exist, or an argument does not fit.
        DeviceFailed: When the device, the runtime or a model does not do its part.
    """
    if settings is not None and not isinstance(settings, BenchSettings):
        raise UsageError(f"settings={settings!r}: expected ep.BenchSettings(seconds=10)")
    known = [each.name for each in fields(BenchSettings)]
    require_known("benchmark", changes, known)
    effective = replace(settings or BenchSettings(), **changes)
    return bench.compare(_path(original), _path(compressed), effective, progress)


def _path(given: object) -> Path:
    if not isinstance(given, (str, os.PathLike)):
        raise UsageError(
            f"benchmark() measures files: pass the paths of two .onnx files, not a "
            f"{type(given).__name__}; ep.compress(...).directory holds two"
        )
    return Path(given)
