"""Which sets of channels go through the same tensors, as often: only such ones form a group.

A recorded network takes parts of any size. If a part and the rest were of one group, all that stays
of it could lie in the rest, and what a width costs would depend on which channels stay. So a group
ends where a part does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeprune.tracing.couplings.disjoint_sets import NOTHING
from edgeprune.tracing.couplings.step import flat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgeprune.tracing.couplings import Couplings
    from edgeprune.tracing.couplings.disjoint_sets import Ints
    from edgeprune.tracing.sides import Side


def companions(couplings: Couplings, members: Sequence[Side]) -> Ints:
    """For each set a number that it shares with all that go through the same tensors, as often.

    Args:
        couplings: Labels of a network.
        members: Every side of every layer.
    """
    kinds = np.zeros(len(couplings.labels), dtype=np.int64)
    sizes = [len(np.unique(couplings.labels.all_sets()))]
    seen: set[bytes] = set()
    for part in _parts(couplings, members):
        if part.tobytes() not in seen:
            seen.add(part.tobytes())
            _divide(kinds, sizes, part)
    return kinds


def _divide(kinds: Ints, sizes: list[int], part: Ints) -> None:
    """Tell the sets of a part from all others of their kind, in place."""
    known, counts = np.unique(kinds[part], return_counts=True)
    own = kinds[part]
    for kind, count in zip(known.tolist(), counts.tolist(), strict=True):
        if count < sizes[kind]:
            kinds[part[own == kind]] = len(sizes)
            sizes[kind] -= count
            sizes.append(count)


def _parts(couplings: Couplings, members: Sequence[Side]) -> Iterator[Ints]:
    """The sets of each tensor; of each side of a layer, those that occur equally often."""
    for labels in couplings.known.values():
        if labels is not None:
            sets = np.unique(couplings.labels.sets_of(flat(labels)))
            yield sets[sets != NOTHING]
    for side in members:
        sets, counts = np.unique(side.sets, return_counts=True)
        for count in np.unique(counts):
            yield sets[counts == count]
