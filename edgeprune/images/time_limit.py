"""Time limits of image sources: fewer images where there is little time."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, TypeAlias

from edgeprune.training import join

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from edgeprune.artifacts import Progress, SourceModel
    from edgeprune.images.source import ImageSource
    from edgeprune.training import Processes

Clock: TypeAlias = "Callable[[], float]"
"""Gives seconds since a fixed moment."""

TRIAL = 64
"""Images that a source is timed on; no fewer are asked for."""


class TimeLimit:
    """The remaining part of a time, the same in all processes.

    Args:
        seconds: Length of the time, from now on; infinite for no limit.
        processes: Processes that share the limit.
        clock: Clock that measures the time.
    """

    def __init__(
        self, seconds: float, processes: Processes, clock: Clock = time.perf_counter
    ) -> None:
        self.processes = processes
        self._seconds, self._clock, self._start = seconds, clock, clock()

    def left(self) -> float:
        """Remaining seconds; negative after the end."""
        return self.processes.agreed(self._seconds - (self._clock() - self._start))


def within_time(  # noqa: PLR0913 - the call of a source, its time and a clock for tests
    source: ImageSource,
    original: SourceModel,
    count: int,
    seed: int,
    seconds: float,
    progress: Progress | None = None,
    *,
    clock: Clock = time.perf_counter,
) -> tuple[Tensor, ...]:
    """Make as many images as a source manages in a time, ``count`` at most.

    The source need not know how long it takes: it is timed on a few images first.

    Args:
        source: Source whose time is proportional to the number of images.
        original: Network that the images are for.
        count: Largest number of images, N.
        seed: Random seed of the images.
        seconds: Time for all images; infinite: all are made.
        progress: Called with the share that is done, 0 to 1.
        clock: Clock that measures the time.

    Returns:
        One tensor (N, …) for each input, as the source gives them.
    """
    if math.isfinite(seconds) and count > TRIAL:
        began = clock()
        source(original, TRIAL, seed)
        per_image = (clock() - began) / TRIAL
        rest = max(0.0, seconds - TRIAL * per_image)
        # The same number in all processes.
        count = min(count, max(TRIAL, int(join().agreed(rest / max(per_image, 1e-9)))))
    return source(original, count, seed, progress)
