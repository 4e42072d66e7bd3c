"""Union-find over numbers in arrays: many pairs are joined at a time, at the speed of numpy.

R. E. Tarjan, "Efficiency of a Good But Not Linear Set Union Algorithm", J. ACM 22 (1975).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]

NOTHING = -1
"""Stands for what belongs to no set."""


def alike(sets: Ints, axis: int) -> bool:
    """Whether sets are the same at every index along a dimension."""
    return bool((sets == sets.take([0], axis)).all())


class DisjointSets:
    """Numbers 0 … n - 1 in sets that can be joined; each set is named by its smallest number."""

    def __init__(self) -> None:
        self._parents = np.arange(1024, dtype=np.int64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def fresh(self, count: int) -> int:
        """Add ``count`` numbers, each a set of its own; returns the first."""
        start, self._count = self._count, self._count + count
        if self._count > len(self._parents):
            grown = np.arange(max(self._count, 2 * len(self._parents)), dtype=np.int64)
            grown[:start] = self._parents[:start]
            self._parents = grown
        return start

    def join(self, one: Ints, other: Ints) -> None:
        """Join the sets of two arrays pair by pair; shapes broadcast, NOTHING joins nothing."""
        left, right = np.broadcast_arrays(one, other)
        both = (left != NOTHING) & (right != NOTHING)
        left, right = left[both], right[both]
        while len(left):
            left, right = self.sets_of(left), self.sets_of(right)
            apart = left != right
            left, right = left[apart], right[apart]
            np.minimum.at(self._parents, np.maximum(left, right), np.minimum(left, right))

    def sets_of(self, numbers: Ints) -> Ints:
        """The set of each number; NOTHING stays what it is."""
        is_known = numbers != NOTHING
        known = numbers[is_known]
        roots = self._parents[known]
        while not np.array_equal(further := self._parents[roots], roots):
            self._parents[known] = roots = further
        result = numbers.copy()
        result[is_known] = roots
        return result

    def all_sets(self) -> Ints:
        """The set of every number, (n,)."""
        return self.sets_of(np.arange(self._count, dtype=np.int64))
