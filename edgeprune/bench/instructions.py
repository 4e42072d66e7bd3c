"""Instructions per inference, on a device that counts them instead of time.

A count is no latency: it knows no cache, no clock and no parallel execution units. But it is the
same in every run and on every machine, so it compares two models, and two versions of one in CI,
where a clock would tell more of the machine than of the models.

The first inferences of a process are left out: they prepare weights and memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgeprune import bench, parity
from edgeprune.artifacts import CountComparison, InstructionCounts, no_progress, part_of
from edgeprune.bench.devices import Device, LocalDevice, QemuArm64Device

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edgeprune.artifacts import LatencyComparison, Progress

RUNS = 3
"""Inferences that are counted."""

SMALL, MORE_RUNS = 50_000_000, 10
"""Of models with fewer instructions, so many more runs are left out: after some calls Python, too,
takes a few thousand instructions less. A number and not a time, so that every process does alike.
"""

FAR = 1e-3
"""Outputs that differ from this machine's by more, relative to the largest, get a note."""

CAUTION = (
    "instructions were counted under emulation and nothing was timed: they rank models and find "
    "regressions, they are no latency"
)


@dataclass(frozen=True, slots=True)
class SingleCount:
    """One model on its own, with the environment and notes that ``CountComparison`` has."""

    measurement: InstructionCounts
    environment: dict[str, object]
    notes: tuple[str, ...]


def counted_on(device: Device) -> bool:
    """Whether the device counts instructions instead of time."""
    return isinstance(device, QemuArm64Device)


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
        settings: Where and how; ``counted_on`` holds for its device.
        progress: Hears how far it is.

    Raises:
        UsageError: A file does not exist, or the device cannot do with the settings.
        DeviceFailed: The device, the runtime or a model does not do its part.
    """
    before = measure(original, settings, part_of(progress, 0, 2))
    after = measure(compressed, settings, part_of(progress, 1, 2))
    notes = tuple(dict.fromkeys((*before.notes, *after.notes)))
    return CountComparison(before.measurement, after.measurement, before.environment, notes)


def measure(
    model: Path, settings: bench.BenchSettings, progress: Progress | None = None
) -> SingleCount:
    """As ``compare``, of one model alone."""
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
    notes = (CAUTION,) if differ <= FAR else (CAUTION, _far(model, differ))
    return SingleCount(counts, environment, notes)


def comparing_on(device: Device) -> Callable[..., LatencyComparison | CountComparison]:
    """What compares two models on a device: ``compare`` here where it counts, or by the clock."""
    return compare if counted_on(device) else bench.compare


def _far(model: Path, differ: float) -> str:
    return (
        f"{model.name}: outputs on arm64 differ from those of the same runtime on this machine by "
        f"{differ:.1e} of the largest; integer kernels may differ by a step, others should not"
    )
