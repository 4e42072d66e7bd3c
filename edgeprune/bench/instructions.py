"""Instructions per inference, on a device that counts them instead of time.

A count is no latency: it knows no cache, no clock and no parallel execution units. But it is the
same in every run and on every machine, so it compares two models, and two versions of one in CI,
where latencies depend more on the machine than on the models.

The first inferences of a process are left out: they prepare weights and memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgeprune import bench, parity
from edgeprune.artifacts import CountComparison, InstructionCounts, no_progress, part_of
from edgeprune.bench.devices import LocalDevice
from edgeprune.bench.notes import of_shapes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edgeprune.artifacts import LatencyComparison, Progress
    from edgeprune.bench.devices import Device

RUNS = 3
"""Inferences that are counted."""

SMALL, MORE_RUNS = 50_000_000, 10
"""Instructions below which a model is small, and the runs that are left out of a small model:
after some calls Python, too, takes a few thousand instructions less. They are a number and not a
time, so that every process does alike."""

HOST_TOLERANCE = 1e-3
"""Outputs that differ from this machine's by more, relative to the largest, get a note."""

CAUTION = (
    "instructions were counted under emulation and nothing was timed: they rank models and find "
    "regressions, they are no latency"
)


@dataclass(frozen=True, slots=True)
class SingleCount:
    """One model counted on its own, with environment and notes as in ``CountComparison``."""

    measurement: InstructionCounts
    environment: dict[str, object]
    notes: tuple[str, ...]


def compare(
    original: Path,
    compressed: Path,
    settings: bench.BenchSettings,
    progress: Progress | None = None,
) -> CountComparison:
    """Count the instructions of two models' inferences, one model after the other.

    Args:
        original: ONNX file.
        compressed: ONNX file.
        settings: Where and how to run them; the device measures instructions.
        progress: Called with the share done and what is being done.

    Raises:
        UsageError: When a file does not exist, or the device cannot take the settings.
        DeviceFailed: When the device, the runtime or a model fails.
    """
    before = measure(original, settings, part_of(progress, 0, 2))
    after = measure(compressed, settings, part_of(progress, 1, 2))
    notes = tuple(dict.fromkeys((*before.notes, *after.notes)))
    return CountComparison(before.measurement, after.measurement, before.environment, notes)


def measure(
    model: Path, settings: bench.BenchSettings, progress: Progress | None = None
) -> SingleCount:
    """Count the instructions of one model's inferences; it raises what ``compare`` raises."""
    progress = progress or no_progress
    with bench.start_worker(model, settings, progress, warm_up_s=0.0) as process:
        progress(0.4, f"counting the instructions of {model.name}")
        left_out = MORE_RUNS if process.instructions(1)[0] < SMALL else 0
        samples = process.instructions(left_out + RUNS)[left_out:]
        progress(0.8, f"outputs of {model.name}")
        there = process.outputs(settings.seed)
        environment = {**process.ready.environment, "device": settings.device.name}
    here = bench.outputs(model, replace(settings, device=LocalDevice()), settings.seed)
    pairs = zip(here, there, strict=True)
    differ = max(parity.compare(one, other).max_rel_diff for one, other in pairs)
    counts = InstructionCounts(samples, differ if math.isfinite(differ) else None)
    told = [CAUTION, *of_shapes(environment)]
    if not differ <= HOST_TOLERANCE:
        told.append(_differing(model, differ))
    return SingleCount(counts, environment, tuple(told))


def comparing_on(device: Device) -> Callable[..., LatencyComparison | CountComparison]:
    """The function that compares two models in the quantity that the device measures."""
    return compare if device.measures == "instructions" else bench.compare


def _differing(model: Path, differ: float) -> str:
    return (
        f"{model.name}: outputs on arm64 differ from those of the same runtime on this machine by "
        f"{differ:.1e} of the largest; integer kernels may differ by a step, others should not"
    )
