"""Whether a method left the network worse than it found it, by the error on held-out images.

No method by itself is right for every network: a formula that moves what was lost onto the channels
that stay can do harm. It is applied all the same where a user names it, and said.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgeprune.artifacts import Note
from edgeprune.errors import ModelUnsupported
from edgeprune.images.procedural import DeadLeaves
from edgeprune.images.unseen import unseen
from edgeprune.recovery.held_out import held_out_error

if TYPE_CHECKING:
    from edgeprune.artifacts import PrunedModel, TracedModel

IMAGES = 8


def with_warning(
    traced: TracedModel, before: PrunedModel, after: PrunedModel, seed: int
) -> PrunedModel:
    """What a method made, with a note on its last step if it is worse than what it was given.

    Args:
        traced: The original.
        before: The network that the method was given.
        after: The network that it made.
        seed: Random seed of the run.
    """
    if after.module is before.module or not after.recovered_by:
        return after
    images = unseen(traced.source, IMAGES, seed)
    try:
        errors = [held_out_error(traced, each, images, synthetic=True) for each in (before, after)]
    except ModelUnsupported:  # the two networks cannot run side by side
        return after
    if not errors[1] > errors[0]:
        return after
    values = {
        "before": errors[0],
        "after": errors[1],
        "images": IMAGES,
        "origin": DeadLeaves.origin,
    }
    *earlier, last = after.recovered_by
    last = replace(last, notes=(*last.notes, Note("worse", values)))
    return replace(after, recovered_by=(*earlier, last))
