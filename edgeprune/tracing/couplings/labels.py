"""Channel labels, and which of them can only be removed together.

Every channel that a layer makes, and every index along a side of a layer, is a label: a number.
Labels that meet are joined; what is left are sets of labels that go together or stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeprune.tracing.couplings.disjoint_sets import NOTHING, DisjointSets, Ints

if TYPE_CHECKING:
    from edgeprune.artifacts import Role
    from edgeprune.tracing.couplings.parts import Division


@dataclass(frozen=True, slots=True)
class LabelSource:
    """Labels that one side of a layer, or one tensor, owns.

    Attributes:
        layer: Dotted name of the module, parameter or buffer.
        role: What it is to its channels; None for a parameter or buffer that channels meet outside
            of a layer, and for channels that are not the network's to cut: its input, padding.
        start: The first of its labels.
        shape: How the labels lie: (C,) for a side of a layer, the tensor's own shape for a tensor.
    """

    layer: str
    role: Role | None
    start: int
    shape: tuple[int, ...]

    @property
    def labels(self) -> Ints:
        """All labels, flat, in the order of the layer's own indices."""
        return np.arange(self.start, self.start + int(np.prod(self.shape)), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Tie:
    """What joined labels: one of them, what it was in words, and whether it is a number in code."""

    label: Ints
    why: str
    by_code: bool


class ChannelLabels(DisjointSets):
    """All labels of a network, and what was found out about them."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: dict[tuple[str, Role | None], LabelSource] = {}
        self.locks: list[tuple[Ints, str]] = []
        self.ties: list[Tie] = []
        self.of_fixed_count: list[Ints] = []
        self.divisions: list[Division] = []
        self._single: set[int] = set()

    def source(self, layer: str, role: Role | None, shape: tuple[int, ...]) -> LabelSource:
        """The labels of a layer or tensor; new ones the first time."""
        key = (layer, role)
        if key not in self.sources:
            start = self.fresh(int(np.prod(shape)))
            self.sources[key] = LabelSource(layer, role, start, shape)
            if role == "producer" and shape == (1,):
                self._single.add(start)
        return self.sources[key]

    def is_single(self, labels: Ints) -> bool:
        """Whether labels are all that of a layer which makes a single channel."""
        return bool(self._single) and int(labels[0]) in self._single and len(set(labels)) == 1

    def lock(self, labels: Ints, why: str) -> None:
        """Keep ``labels`` from being removed, for a reason in words."""
        owned = np.unique(labels[labels != NOTHING])
        if len(owned):
            self.locks.append((owned, why))

    def tie(self, labels: Ints, why: str, *, by_code: bool = False) -> None:
        """Remember what joined ``labels``, in case no part of a layer is left to be removed.

        Args:
            labels: What was joined.
            why: What joined it, in words.
            by_code: Whether it is a number in the network's code.
        """
        self.ties.append(Tie(labels.ravel()[:1], why, by_code))

    def settle(self) -> None:
        """Make all that views divided shrink along one dimension, until nothing changes."""
        before = None
        while before is None or not np.array_equal(before, self.all_sets()):
            before = self.all_sets()
            for division in self.divisions:
                division.settle(self)
