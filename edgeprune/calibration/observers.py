"""Observers: from the values that a tensor took to the range that its codes stand for.

A wide range keeps outliers and makes coarse steps, a narrow one clips them and makes fine steps.
With weights quantized by channel the extremes served every network that was tried; the others are
for networks with rare, far outliers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from edgeprune.choices import Choices
from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from edgeprune.artifacts import Range
    from edgeprune.calibration.histogram import Histogram
    from edgeprune.parity import Array


class Observer(Protocol):
    """Chooses a range; a row of ``OBSERVERS``, or your own."""

    @property
    def counts(self) -> bool:
        """Whether it needs the histogram's counts, which take a second pass over the inputs."""
        ...

    def __call__(self, seen: Histogram) -> Range:
        """The range for the values seen; it need not hold zero, which codes always can."""
        ...


@dataclass(frozen=True, slots=True)
class MinMax:
    """The smallest and the largest value: nothing is clipped."""

    counts: ClassVar[bool] = False

    def __call__(self, seen: Histogram) -> Range:
        """The extremes."""
        return seen.low, seen.high


@dataclass(frozen=True, slots=True)
class Percentile:
    """The range that holds a share of the values; as many are clipped on either side.

    Attributes:
        share: Share of the values within (larger: wider, coarser), a fraction.

    Raises:
        UsageError: If the share is no such fraction.
    """

    share: float = 0.9999
    counts: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0.5 < self.share <= 1:
            raise UsageError(f"a percentile's share lies above 0.5 and up to 1, not {self.share}")

    def __call__(self, seen: Histogram) -> Range:
        """The quantiles at both ends, linear within a bin."""
        assert seen.counts is not None
        below = np.concatenate(([0], np.cumsum(seen.counts))) / seen.counts.sum()
        beyond = (1 - self.share) / 2
        low, high = np.interp((beyond, 1 - beyond), below, seen.edges)
        return float(low), float(high)


@dataclass(frozen=True, slots=True)
class LeastSquares:
    """The range whose codes are nearest to the values in the mean square.

    Attributes:
        candidates: Number of ranges tried, evenly from all values down to a part of them (more:
            finer, slower).
        narrowest: Smallest range tried, as a share of that of all values.
    """

    candidates: int = 80
    narrowest: float = 0.2
    counts: ClassVar[bool] = True

    def __call__(self, seen: Histogram) -> Range:
        """The best of the candidates; the widest of those that are alike."""
        shares = np.linspace(1.0, self.narrowest, self.candidates)
        assert seen.counts is not None
        values = seen.centres, seen.counts
        errors = [_squared_error(*values, share * seen.low, share * seen.high) for share in shares]
        best = float(shares[int(np.argmin(errors))])
        return best * seen.low, best * seen.high


def _squared_error(centres: Array, counts: Array, low: float, high: float) -> float:
    """Sum of squared differences between the values and their codes of eight bits."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / 255 or 1.0
    nearest = np.clip(np.round(centres / step), round(low / step), round(high / step)) * step
    return float(np.sum(counts * (centres - nearest) ** 2))


OBSERVERS: Choices[type[MinMax] | type[Percentile] | type[LeastSquares]] = Choices(
    "range observer", {"min-max": MinMax, "percentile": Percentile, "mse": LeastSquares}
)
