"""Images to judge on: procedural, and none that a run fits to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.images.procedural import DeadLeaves

if TYPE_CHECKING:
    from torch import Tensor

    from edgeprune.artifacts import SourceModel

UNSEEN = 7919
"""Added to the seed of a run, which recovery draws its images from."""


def unseen(source: SourceModel, count: int, seed: int) -> tuple[Tensor, ...]:
    """Draw images that nothing was fitted to.

    Args:
        source: The network that they are for.
        count: Number of images.
        seed: Seed of the run.

    Returns:
        One tensor (N, …) for each input, normalised.
    """
    return DeadLeaves()(source, count, seed + UNSEEN)
