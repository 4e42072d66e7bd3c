"""Order statistics, and how sure a figure is.

Latencies have a hard floor and a long tail of interruptions, so everything here rests on ranks.
The interval of a centre is that of the signed-rank test (J. L. Hodges and E. L. Lehmann, "Estimates
of Location Based on Rank Tests", Annals of Mathematical Statistics 34(2), 1963): the estimate is
the median of all pairwise means, and the interval ends at the k-th smallest and k-th largest of
them, where k comes from the exact distribution of the signed-rank statistic. It is right for a
handful of values of any symmetric distribution, where a bootstrap is too narrow, and an outlier
hardly moves it. Ranks of fewer than six values cannot be 95 % sure; Student's t can, if the values
are normally distributed.
"""

from __future__ import annotations

import math
import statistics
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

FEWEST_FOR_RANKS = 6

NORMAL_95 = 1.959963984540054
"""A normal variable lies within so many standard deviations with probability 0.95."""

P5 = 0.05
"""The quantile of a session's latencies that stands for runs which nothing interrupted."""


class Interval(NamedTuple):
    """An estimate and the range it may lie in, in the unit of what was estimated."""

    value: float
    low: float
    high: float


def centre(values: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Where values that scatter symmetrically lie, with the interval for it.

    Args:
        values: Independent figures, such as one of each session; any unit.
        confidence: Share of repeated experiments whose interval holds the centre, at least, given
            six values; of fewer the interval is Student's, at 95 %.

    Raises:
        ValueError: When there are fewer than two values, or too few for this confidence.
    """
    if len(values) < 2:
        raise ValueError("an interval needs at least two values: one value has no scatter")
    if len(values) < FEWEST_FOR_RANKS:
        mean = statistics.fmean(values)
        reach = student(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
        return Interval(mean, mean - reach, mean + reach)
    cut = signed_rank_cut(len(values), confidence)
    means = sorted((one + other) / 2 for i, one in enumerate(values) for other in values[i:])
    return Interval(median(means), means[cut], means[-1 - cut])


def paired_difference(lost: int, won: int, n: int) -> Interval:
    """The difference of two shares of the same n things, with its interval of 95 %.

    Only the things that one of both alone has tell them apart. The interval is Wald's after one
    such thing more on either side: D. G. Bonett and R. M. Price, "Adjusted Wald Confidence Interval
    for a Difference of Binomial Proportions Based on Paired Data", Journal of Educational and
    Behavioral Statistics 37(4), 2012.

    Args:
        lost: How many things the first alone has.
        won: How many the second alone has.
        n: All things.

    Returns:
        First share − second share, from -1 to 1.

    Raises:
        ValueError: When there is nothing, or more is told than there is.
    """
    if n < 1 or min(lost, won) < 0 or lost + won > n:
        raise ValueError(f"no shares of {n} things differ by {lost} and {won}")
    first, second = (lost + 1) / (n + 2), (won + 1) / (n + 2)
    reach = NORMAL_95 * math.sqrt((first + second - (first - second) ** 2) / (n + 2))
    middle = first - second
    return Interval((lost - won) / n, max(-1.0, middle - reach), min(1.0, middle + reach))


def student(share: float, freedom: float) -> float:
    """The value below which a variable of Student's t distribution is with probability ``share``.

    Args:
        share: Between 0 and 1.
        freedom: Degrees of freedom: more than 0, need not be whole; infinite is the normal
            distribution.
    """
    from scipy.special import ndtri, stdtrit  # here: it takes longer to load than a report

    return float(ndtri(share) if math.isinf(freedom) else stdtrit(freedom, share))


def outlier_count(values: Sequence[float], *, floor: float) -> int:
    """How many values lie further from the median than chance would put them.

    An outlier lies more than 3.5 standard deviations away; these are estimated from the median
    absolute deviation: B. Iglewicz and D. C. Hoaglin, "How to Detect and Handle Outliers", ASQC,
    1993.

    Args:
        values: The figures, in any order.
        floor: The least that counts as a standard deviation, in the unit of ``values``.

    Raises:
        ValueError: When there are no values.
    """
    middle = median(values)
    deviation = max(floor, median_absolute_deviation(values) / 0.6745)
    return sum(abs(value - middle) > 3.5 * deviation for value in values)


def surest(n: int) -> float:
    """The highest confidence that the signed ranks of ``n`` values allow, as a fraction.

    The interval then reaches from the smallest value to the largest, and misses the centre when all
    values lie on one side of it.
    """
    return 1 - 2.0 ** (1 - n)


@cache
def signed_rank_cut(n: int, confidence: float) -> int:
    """The largest c with P(W ≤ c) ≤ (1 - confidence) / 2, W the signed-rank statistic of n values.

    Raises:
        ValueError: When there is none: ``confidence`` is higher than ``surest(n)``.
    """
    ways = [1]  # to draw signs for the ranks so that those with a plus add up to the index
    for rank in range(1, n + 1):
        longer = ways + [0] * rank
        for total, count in enumerate(ways):
            longer[total + rank] += count
        ways = longer
    cut, below = -1, 0
    for count in ways:
        below += count
        if 2 * below > (1 - confidence) * 2**n:
            break
        cut += 1
    if cut < 0:
        raise ValueError(f"ranks of {n} values cannot be {confidence:.1%} sure")
    return cut


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
        values: The figures, in any order.
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
