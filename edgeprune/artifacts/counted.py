"""bench → InstructionCounts: what inferences cost on an emulated processor, repeatably."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import ClassVar

from edgeprune.artifacts.measured import RatioInterval


@dataclass(frozen=True, slots=True)
class InstructionCounts:
    """One model run under emulation, instructions counted.

    Attributes:
        samples: Instructions of each inference after the first ones.
        host_max_rel_diff: Largest difference of its outputs from those of the same runtime on this
            machine, relative to the largest output; None where it is not finite.
    """

    samples: tuple[int, ...]
    host_max_rel_diff: float | None

    @property
    def per_inference(self) -> int:
        """Median of the samples."""
        return round(statistics.median(self.samples))

    @property
    def repeat(self) -> float:
        """Range of the samples, as a fraction of their median."""
        return (max(self.samples) - min(self.samples)) / self.per_inference


@dataclass(frozen=True, slots=True)
class CountComparison:
    """Two models run under the same emulation.

    Attributes:
        original: Counts of the first model.
        compressed: Counts of the second.
        environment: The emulated machine, with the keys that ``LatencyComparison`` has.
        notes: Warnings to read before believing the figures; empty when there are none.
        latency: None: emulated time is no latency.
    """

    latency: ClassVar[None] = None
    original: InstructionCounts
    compressed: InstructionCounts
    environment: dict[str, object]
    notes: tuple[str, ...] = ()

    @property
    def ratio(self) -> RatioInterval:
        """Compressed / original of the counts, which need no interval."""
        ratio = self.compressed.per_inference / self.original.per_inference
        return RatioInterval(ratio, ratio, ratio, 1.0)
