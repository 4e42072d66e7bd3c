"""What the whole network loses with a group's channels: measured, not derived from one layer.

repaired_network.py   a network as though channels were gone, and how far it then is off
last_norms.py         where features are compared
curves.py             every group at a few widths

A criterion says which channels of a group go first. How much the network minds is another question:
a layer's local error says little about what becomes of it further on. So each group is tried by
itself at a few widths, its consumers repaired in closed form, and the network run on a few images.
Errors are shares of variance; deviations that independent cuts cause add in variance, so curves add
as long as they are small. In the spirit of "Sensitivity analysis" of Li et al., arXiv:1608.08710,
without data and after a repair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.errors import ModelUnsupported, failing_as
from edgeprune.graph.batch_norms import batch_norms
from edgeprune.pruning.sensitivity.curves import Curves, Ranking
from edgeprune.pruning.sensitivity.repaired_network import RepairedNetwork

if TYPE_CHECKING:
    from edgeprune.artifacts import TracedModel
    from edgeprune.costs import Costs
    from edgeprune.images.source import ImageSource
    from edgeprune.pruning.sensitivity.curves import Widths

__all__ = ["Curves", "Ranking", "images_for", "prepared"]

PIXELS = 2**19
"""Images to measure on have about so many pixels together."""

LEAST_IMAGES, MOST_IMAGES = 4, 64

PASSES = 8
"""Times that the network runs for each group: at three widths, at two by another ranking, and at
three once half is cut."""

WORK = 4e12
"""Multiply-accumulates that all curves may take: about two minutes on two cores."""


def images_for(traced: TracedModel, costs: Costs) -> int:
    """Number of images that curves are measured on; 0 where even a few would take too long."""
    count = traced.source.input.images_of(PIXELS, LEAST_IMAGES, MOST_IMAGES)
    affordable = int(WORK / max(PASSES * len(traced.prunable) * costs.macs, 1))
    return min(count, affordable) if affordable >= LEAST_IMAGES else 0


def prepared(
    traced: TracedModel, count: int, widths: Widths, source: ImageSource, seed: int
) -> Curves | None:
    """Prepare to measure curves.

    Args:
        traced: The network with its groups.
        count: Number of images to measure on.
        widths: The widths that a group may have.
        source: Where images are from.
        seed: Random seed of images.

    Returns:
        None where nothing brings images to their level, for want of BatchNorms, or where the
        network does not take several at a time.
    """
    if not count or (source.kind.synthetic and not batch_norms(traced.source.module)):
        return None
    images = source(traced.source, count, seed)
    if len(images[0]) < LEAST_IMAGES:
        return None
    try:
        with failing_as(ModelUnsupported):  # whatever insists on one input at a time
            network = RepairedNetwork(traced, images)
    except ModelUnsupported:
        return None
    return Curves(traced, network, widths, len(images[0]), source.origin)
