"""Fewer images where there is little time, for sources that cannot tell how long they take."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from edgeprune.training import join

if TYPE_CHECKING:
    from torch import Tensor

    from edgeprune.artifacts import Progress, SourceModel
    from edgeprune.images.source import ImageSource

TRIED = 64
"""Images that a source is timed on; no fewer are asked for."""


def within_time(
    source: ImageSource,
    original: SourceModel,
    count: int,
    seed: int,
    seconds: float,
    progress: Progress | None = None,
) -> tuple[Tensor, ...]:
    """As many images as a source makes in a time, or as are wanted.

    Args:
        source: Takes as long for each image.
        original: As :class:`~edgeprune.images.source.ImageSource` says.
        count: Likewise, at most.
        seed: Likewise.
        seconds: What it may take; infinite: all are made.
        progress: Of the making.
    """
    if math.isfinite(seconds) and count > TRIED:
        began = time.perf_counter()
        source(original, TRIED, seed)
        each = (time.perf_counter() - began) / TRIED
        rest = max(0.0, seconds - TRIED * each)
        # The same in all processes.
        count = min(count, max(TRIED, int(join().agreed(rest / max(each, 1e-9)))))
    return source(original, count, seed, progress)
