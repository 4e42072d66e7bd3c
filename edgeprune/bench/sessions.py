"""A measurement: session after session, until the figure is as sure as it was to be.

What two processes of one file differ by (where each lies in memory) is settled when they start, a
per cent or two, and stays for as long as they live. A fresh pair draws it anew, so the sessions'
figures scatter by all that makes a repeated measurement differ, and the interval of their centre
covers it.

Who stops as soon as an interval is narrow enough stops too often at one that is narrow by luck.
Intervals are therefore looked at only at a few planned numbers of sessions, and are those of
96.5 %: what is left after the looking is 95 % (tests/bench/test_bench_sessions.py simulates it).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from edgeprune.artifacts import RatioInterval
from edgeprune.errors import DeviceLost
from edgeprune.stats import FEWEST_FOR_RANKS, Interval, centre

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprune.artifacts import Progress
    from edgeprune.bench.pairing import SessionResult

T = TypeVar("T")

CONFIDENCE = 0.95
BEFORE_LOOKING = 0.965

FEWEST = 2
ENOUGH = FEWEST_FOR_RANKS
LOOKS = (ENOUGH, 9, 14, 21, 32, 48, 72, 100)
"""After how many sessions the interval is looked at; the last is the most that are run."""

MOST_LOSSES = 2


@dataclass(frozen=True, slots=True)
class Series:
    """The sessions of a measurement.

    Attributes:
        sessions: In order.
        estimate: The centre of their figures and its interval: logarithms.
        seconds: What they took.
        losses: What became of sessions that had to be repeated.
    """

    sessions: tuple[SessionResult, ...]
    estimate: Interval
    seconds: float
    losses: tuple[DeviceLost, ...]

    @property
    def within(self) -> float:
        """How far the interval reaches to either side, as a fraction of the figure."""
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
) -> Series:
    """Hold sessions until the interval is narrow enough or the next would take too long.

    Args:
        run_session: Runs the session of this number.
        seconds: The most it may take; two sessions are run even if they take longer.
        within: The half-width that is narrow enough, as a fraction of the figure.
        progress: Hears how much of the time is over, and at the end that all is done.

    Raises:
        DeviceFailed: When the device, the runtime or a model does not do its part.
        DeviceLost: When the device was lost a third time.
    """
    sessions: list[SessionResult] = []
    losses: list[DeviceLost] = []
    start, longest, spent = time.perf_counter(), 0.0, 0.0
    while not _sure([one.figure for one in sessions], within):
        if len(sessions) >= FEWEST and spent + longest > seconds:
            break
        progress(min(1.0, spent / seconds), f"session {len(sessions) + 1}")
        sessions.append(persist(partial(run_session, len(sessions)), losses))
        now = time.perf_counter() - start
        if len(sessions) > 1:  # the first may have copied files to the device
            longest = max(longest, now - spent)
        spent = now
    progress(1.0, f"{len(sessions)} sessions")
    figures = [one.figure for one in sessions]
    return Series(tuple(sessions), interval(figures), spent, tuple(losses))


def persist(attempt: Callable[[], T], losses: list[DeviceLost]) -> T:
    """What ``attempt`` returns; it is repeated when the device is lost, but not for ever.

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
    """The centre of the sessions' figures, and where it lies with 95 % confidence."""
    return centre(figures, confidence=BEFORE_LOOKING)


def reach(estimate: Interval) -> float:
    """Half the width of an interval of logarithms, as a fraction of what they are of."""
    return math.expm1((estimate.high - estimate.low) / 2)


def _sure(figures: list[float], within: float) -> bool:
    """Whether this is a number of sessions to look at, and the interval is narrow enough then."""
    return len(figures) == LOOKS[-1] or (
        len(figures) in LOOKS and reach(interval(figures)) <= within
    )
