"""Labels that go together → channel groups, described by layer names and index maps.

A group starts from the earliest layer that makes channels of every one of its sets; its channels
are that layer's, in an order in which what goes together has the same place in each of several
partitions of equal size. Where no layer makes channels of all sets, sets that the same layers make
are a group.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeprune.artifacts import ChannelGroup, Channels, Member
from edgeprune.tracing.couplings.disjoint_sets import DisjointSets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from edgeprune.tracing.couplings.disjoint_sets import Ints
    from edgeprune.tracing.sides import Side

LOCKED = -1
"""The kind of all sets that stay whole."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one side of a layer has in one group.

    Attributes:
        side: The side of the layer.
        own: The layer's own indices, (N,).
        sets: The set that each belongs to, (N,).
    """

    side: Side
    own: Ints
    sets: Ints

    def within(self, wanted: Ints) -> Part:
        """The indices that belong to some of the sets; ``wanted`` is sorted."""
        inside = np.isin(self.sets, wanted)
        return Part(self.side, self.own[inside], self.sets[inside])


def grouped(
    sides: Sequence[Side], locks: Mapping[int, str], kinds: Ints
) -> Iterator[tuple[ChannelGroup, Ints]]:
    """Form the groups.

    Args:
        sides: Every side of every layer and every tensor along channels, in the network's order,
            with the set of each of its indices.
        locks: Why a set stays whole.
        kinds: A number for each set, (n,): sets with different ones are never of one group.

    Yields:
        Groups, and for each its sets.
    """
    kinds = kinds.copy()
    kinds[list(locks)] = LOCKED
    components = _components(sides, kinds)
    parts: dict[int, list[Part]] = defaultdict(list)
    for side in sides:
        known = components[side.sets]
        for component in np.unique(known[known >= 0]):
            own = np.flatnonzero(known == component)
            parts[int(component)].append(Part(side, own, side.sets[own]))
    names: set[str] = set()
    for members in parts.values():
        for root, sets in _roots(members):
            chosen = [each for each in (part.within(sets) for part in members) if len(each.own)]
            yield _group(root.within(sets), chosen, names), sets


def _components(sides: Sequence[Side], kinds: Ints) -> Ints:
    """For each set the component it belongs to, named by a set; -1 where no layer makes it."""
    links = DisjointSets()
    links.fresh(len(kinds))
    made = np.zeros(len(kinds), dtype=bool)
    for role in ("producer", "depthwise"):
        for side in sides:
            if side.role == role:
                for kind in np.unique(kinds[side.sets]):
                    sets = side.sets[kinds[side.sets] == kind]
                    if role == "depthwise":  # starts a group only where nothing else does
                        sets = sets[~made[sets]]
                    links.join(sets[:1], sets)
        for side in sides:
            if side.role == role:
                made[side.sets] = True
    return np.where(made, links.all_sets(), -1)


def _roots(parts: Sequence[Part]) -> Iterator[tuple[Part, Ints]]:
    """Divide a component into groups: the layer each starts from, and its sets."""
    makers = [part for part in parts if part.side.role == "producer"]
    makers = makers or [part for part in parts if part.side.role == "depthwise"]
    every = np.unique(np.concatenate([part.sets for part in makers]))
    first, counts = np.unique(makers[0].sets, return_counts=True)
    if len(first) == len(every) and len(set(counts.tolist())) == 1:
        yield makers[0], every
        return
    signatures: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for place, part in enumerate(makers):
        for one, count in zip(*np.unique(part.sets, return_counts=True), strict=True):
            signatures[int(one)].append((place, int(count)))
    alike: dict[tuple[tuple[int, int], ...], list[int]] = defaultdict(list)
    for one, signature in signatures.items():
        alike[tuple(signature)].append(one)
    for made_by, sets in sorted(alike.items()):
        yield makers[made_by[0][0]], np.array(sorted(sets))


def _group(root: Part, parts: Sequence[Part], names: set[str]) -> ChannelGroup:
    """A group whose channels are those of ``root``."""
    sets, first, counts = np.unique(root.sets, return_index=True, return_counts=True)
    by_place = first.argsort()
    place = np.empty(len(sets), dtype=np.int64)
    place[by_place] = np.arange(len(sets))
    partitions, width = int(counts[0]), len(root.own)
    members = [
        Member(
            part.side.layer,
            part.side.role,
            _channels(part, sets, place, partitions),
            axis=part.side.axis,
        )
        for part in parts
    ]
    name = root.side.layer
    if name in names:
        name = f"{name}[{root.own[0]}:{root.own[-1] + 1}]"
    names.add(name)
    return ChannelGroup(name, width, tuple(members), partitions)


def _channels(part: Part, sets: Ints, place: Ints, partitions: int) -> Channels:
    """The layer's own indices for each channel of the group.

    What a layer has of one set is spread over the partitions in equal runs.
    """
    rows = place[np.searchsorted(sets, part.sets)]
    order = np.lexsort((part.own, rows))
    rows, own = rows[order], part.own[order]
    starts = np.searchsorted(rows, np.arange(len(sets)))
    counts = np.bincount(rows, minlength=len(sets))
    rank = np.arange(len(rows)) - starts[rows]
    partition = rank * partitions // np.maximum(counts[rows], 1)
    channels: list[list[int]] = [[] for _ in range(partitions * len(sets))]
    for channel, index in zip((partition * len(sets) + rows).tolist(), own.tolist(), strict=True):
        channels[channel].append(index)
    return tuple(map(tuple, channels))
