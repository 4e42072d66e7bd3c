"""A measurement: session after session, until the interval of the figure is narrow enough.

Two processes of one file differ in speed by a per cent or two, because each lies elsewhere in
memory; the difference is settled when they start and stays for as long as they live. A fresh pair
draws it anew, so the sessions' figures scatter by all that makes a repeated measurement differ, and
the interval of their centre covers it.

Who stops as soon as an interval is narrow enough stops too often at one that is narrow by luck.
The interval is therefore looked at only at a few planned numbers of sessions, and each time more
than 95 % confidence is asked of it, so that 95 % is left (``LOOK_CONFIDENCE``).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from edgeprune.artifacts import RatioInterval
from edgeprune.errors import DeviceLost
from edgeprune.stats import FEWEST_FOR_RANKS, Interval, centre, surest

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprune.artifacts import Progress
    from edgeprune.bench.pairing import SessionResult

T = TypeVar("T")

CONFIDENCE = 0.95
"""The share of repeated measurements whose interval holds the truth."""

LOOK_CONFIDENCE = 0.9775
"""The confidence asked of the interval at each look.

It is the smallest, in steps of 0.25 %, that leaves 95 % after all looks in each of four scatters
(normal, heavy tails, two humps, skewed) at the standard deviation that is worst for it. Two humps
need it most: 97.75 % leaves 95.1 %, 97.5 % leaves 94.8 %, 96.5 % leaves 93.9 %, 95 % leaves 91.9 %.
The others are left with 95.9 % or more. Extreme scatters are left with less: humps hardly wider
than points with 94.1 %, exponential figures (skewness 2) with 93.7 %. The price is 12 to 14 % more
sessions than with 96.5 %.

    python benchmarks/bench/interval_coverage.py --trials 100000
"""

FEWEST = 2
ENOUGH = FEWEST_FOR_RANKS
LOOKS = (ENOUGH, 9, 14, 21, 32, 48, 72, 100)
"""After how many sessions the interval is looked at; the last is the most that are run."""

MOST_LOSSES = 2


@dataclass(frozen=True, slots=True)
class Series:
    """The sessions of a measurement.

    Attributes:
        sessions: The sessions, in the order they ran.
        estimate: The centre of their figures and its interval; logarithms.
        seconds: The time that all of them took.
        losses: The errors of sessions that had to be repeated.
    """

    sessions: tuple[SessionResult, ...]
    estimate: Interval
    seconds: float
    losses: tuple[DeviceLost, ...]

    @property
    def within(self) -> float:
        """Half-width of the interval, as a fraction of the figure."""
        return reach(self.estimate)

    @property
    def ratio(self) -> RatioInterval:
        """The estimate as a ratio."""
        value, low, high = map(math.exp, self.estimate)
        return RatioInterval(value, low, high, CONFIDENCE)


def gather(
    run_session: Callable[[int], SessionResult],
    *,
    seconds: float,
    within: float,
    progress: Progress,
    clock: Callable[[], float] = time.perf_counter,
) -> Series:
    """Run sessions until the interval is narrow enough or the next would take too long.

    Args:
        run_session: Runs the session of this number.
        seconds: The time limit; two sessions are run even if they take longer.
        within: The half-width that is narrow enough, as a fraction of the figure.
        progress: Called with the share of the time that is over, and at the end with 1.
        clock: Returns the time, in seconds.

    Raises:
        DeviceFailed: When the device, the runtime or a model does not do its part.
        DeviceLost: When the device was lost a third time.
    """
    sessions: list[SessionResult] = []
    losses: list[DeviceLost] = []
    start, longest, spent = clock(), 0.0, 0.0
    while not _sure([one.figure for one in sessions], within):
        if len(sessions) >= FEWEST and spent + longest > seconds:
            break
        progress(min(1.0, spent / seconds), f"session {len(sessions) + 1}")
        sessions.append(persist(partial(run_session, len(sessions)), losses))
        now = clock() - start
        if len(sessions) > 1:  # the first may have copied files to the device
            longest = max(longest, now - spent)
        spent = now
    progress(1.0, f"{len(sessions)} sessions")
    figures = [one.figure for one in sessions]
    return Series(tuple(sessions), interval(figures), spent, tuple(losses))


def persist(attempt: Callable[[], T], losses: list[DeviceLost]) -> T:
    """Return what ``attempt`` does; it is repeated when the device is lost, but not for ever.

    Raises:
        DeviceLost: When ``losses``, which the new ones are added to, are more than two.
    """
    while True:
        try:
            return attempt()
        except DeviceLost as loss:  # noqa: PERF203 - each attempt takes seconds
            losses.append(loss)
            if len(losses) > MOST_LOSSES:
                raise


def interval(figures: list[float]) -> Interval:
    """The centre of the sessions' figures, and where it lies with 95 % confidence.

    Six figures cannot be as sure as a look asks: theirs is the widest interval that they have.
    """
    return centre(figures, confidence=min(LOOK_CONFIDENCE, surest(len(figures))))


def reach(estimate: Interval) -> float:
    """Half-width of an interval of logarithms, as a fraction of the figure that they are of."""
    return math.expm1((estimate.high - estimate.low) / 2)


def _sure(figures: list[float], within: float) -> bool:
    """Whether this is a number of sessions to look at, and the interval is narrow enough then."""
    return len(figures) == LOOKS[-1] or (
        len(figures) in LOOKS and reach(interval(figures)) <= within
    )
