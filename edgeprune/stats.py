"""Order statistics, and how sure a ratio of latencies is. Pure Python: it also runs without numpy.

Latencies have a hard floor and a long tail of interruptions, so everything here rests on medians
and quantiles. The interval of a ratio is a percentile bootstrap (B. Efron, "Bootstrap Methods:
Another Look at the Jackknife", Annals of Statistics 7(1), 1979) over rounds: each round gives one
ratio of two figures measured next to each other, so that what slows the machine for seconds
slows both and cancels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence


class Interval(NamedTuple):
    """An estimate and the range it may lie in, in the unit of what was estimated."""

    value: float
    low: float
    high: float


def bootstrap_ratio(
    after: Sequence[float],
    before: Sequence[float],
    rng: random.Random,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """The median of ``after[i] / before[i]`` with its bootstrap percentile interval.

    Works on logarithms, so that swapping ``after`` and ``before`` gives exactly the reciprocal;
    with an even number of rounds the median is the geometric mean of the middle two.

    Args:
        after: One positive figure for each round, any unit.
        before: Its partner from the same round, same unit.
        rng: Draws the resamples; the same state gives the same interval.
        confidence: Share of repeated experiments whose interval should hold the true median.
        resamples: Larger: a steadier interval, slower.

    Raises:
        ValueError: When there are no rounds, the lengths differ or a figure is not positive.
    """
    if len(after) != len(before):
        raise ValueError(f"rounds must be paired: {len(after)} after and {len(before)} before")
    if not all(figure > 0 for figure in (*after, *before)):
        raise ValueError("a ratio needs figures above zero")
    logs = [math.log(a) - math.log(b) for a, b in zip(after, before, strict=True)]
    value = median(logs)
    medians = [median(rng.choices(logs, k=len(logs))) for _ in range(resamples)]
    tail = (1 - confidence) / 2
    low, high = quantile(medians, tail), quantile(medians, 1 - tail)
    return Interval(math.exp(value), math.exp(low), math.exp(high))


def median(values: Sequence[float]) -> float:
    """The middle value; the mean of the middle two when their number is even.

    Raises:
        ValueError: When there are no values.
    """
    return quantile(values, 0.5)


def median_absolute_deviation(values: Sequence[float]) -> float:
    """The median distance from the median, in the unit of ``values``.

    Not scaled: for a normal distribution it is 0.6745 standard deviations.

    Raises:
        ValueError: When there are no values.
    """
    centre = median(values)
    return median([abs(value - centre) for value in values])


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of the values lie, interpolated linearly.

    The sorted values stand at 0, 1/(n-1), …, 1 and neighbours are joined by straight lines: the
    seventh definition of R. J. Hyndman and Y. Fan, "Sample Quantiles in Statistical Packages",
    The American Statistician 50(4), 1996.

    Args:
        values: In any order.
        share: From 0, the smallest, to 1, the largest.

    Raises:
        ValueError: When there are no values, or ``share`` is outside 0 to 1.
    """
    if not values:
        raise ValueError("a quantile needs at least one value")
    if not 0 <= share <= 1:
        raise ValueError(f"a quantile lies between 0 and 1, not at {share}")
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    weight = position - below
    if weight == 0:
        return ordered[below]
    return ordered[below] * (1 - weight) + ordered[below + 1] * weight
