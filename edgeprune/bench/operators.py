"""How long each operator of the graph that a runtime makes of a model takes, on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune import bench
from edgeprune.artifacts import no_progress
from edgeprune.bench import sessions

if TYPE_CHECKING:
    from pathlib import Path

    from edgeprune.artifacts import OperatorTimes, Progress

TIMED_S = 0.5
FEWEST, MOST = 5, 200
"""Runs in which operators are timed, as many as take half a second."""


def operator_times(
    model: Path, settings: bench.BenchSettings, progress: Progress | None = None
) -> tuple[OperatorTimes, ...] | None:
    """Measure every operator of a model.

    Args:
        model: The file.
        settings: Where to run it.
        progress: Called once, before the model is loaded.

    Returns:
        The operators in the order of execution; None where the runtime does not tell their times.

    Raises:
        UsageError: When the file does not exist.
        DeviceFailed: When the device, the runtime or the model does not do its part.
    """

    def told() -> tuple[OperatorTimes, ...] | None:
        with bench.start_worker(model, settings, progress or no_progress) as process:
            runs = round(TIMED_S / max(process.ready.run_s, 1e-6))
            return process.operators(min(MOST, max(FEWEST, runs)))

    return sessions.persist(told, [])
