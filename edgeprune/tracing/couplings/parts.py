"""Operators that take parts of the channels, or divide them: the parts must stay alike.

The sizes that code divides by are either computed from the number of channels or written out;
which of the two it is shows when the network that was cut is run. Where the same places go from
each of several parts of equal size, both the parts and what is left of them keep their order. In a
recorded network all sizes are written out and can be changed: there parts need not stay alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeprune.tracing.couplings.disjoint_sets import alike
from edgeprune.tracing.couplings.layouts import moved
from edgeprune.tracing.couplings.step import (
    alike_in_parts,
    along,
    axes_of,
    by_channel,
    compact,
    settled,
    varies,
    without,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from edgeprune.tracing.couplings.disjoint_sets import Ints
    from edgeprune.tracing.couplings.labels import ChannelLabels
    from edgeprune.tracing.couplings.step import Step


def reshaped(step: Step) -> Tensor | None:
    """The same elements in another shape; a dimension of channels may be divided."""
    labels = step.read()
    if labels is None:
        return None
    before, after = step.operation.reads[0].shape, step.shape
    result = settled(labels.reshape(after))
    asked = step.argument(1)
    free = asked.index(-1) if isinstance(asked, tuple) and -1 in asked else None
    for inside, outside in _factors(before, after):
        divided = [axis for axis in outside if after[axis] > 1]
        if len(divided) > 1 and any(varies(labels, axis) for axis in inside):
            sizes = "x".join(str(after[axis]) for axis in divided)
            why = f"a view that divides its channels into {sizes} in {step.place}"
            step.labels.divisions.append(
                Division(compact(result).numpy(), tuple(divided), free, why)
            )
    return result


def sliced(step: Step) -> tuple[Tensor | None, ...]:
    """A part of the channels: all parts of that size must stay alike."""
    labels = step.read()
    if labels is not None and step.argument(4) != 1 and varies(labels, _axis(step, 1)):
        return _every_nth(step, labels, int(step.argument(4)))

    def part_of(axis: int) -> tuple[int, str]:
        size = step.operation.reads[0].shape[axis]
        start, stop, _ = slice(step.argument(2), step.argument(3)).indices(size)
        return math.gcd(start, stop, size), f"a slice {start}:{stop}"

    return _taken(step, 1, part_of)


def _every_nth(step: Step, labels: Tensor, stride: int) -> tuple[Tensor | None, ...]:
    """Every n-th channel stays every n-th one where channels go by n in a row."""
    axis = _axis(step, 1)
    size = labels.shape[axis]
    start, stop, _ = slice(step.argument(2), step.argument(3)).indices(size)
    if size % stride or start >= stride or stop < size:
        step.lock_all(f"a slice with a stride of {stride} takes of its channels")
        return ()
    ordered = compact(labels).movedim(axis, 0).numpy()
    rows = ordered.reshape(-1, stride, *ordered.shape[1:])
    step.labels.join(rows[:, :1], rows)
    step.labels.tie(rows, f"a slice with a stride of {stride} takes of them in {step.place}")
    return moved(step)


def split(step: Step) -> tuple[Tensor | None, ...]:
    """Several parts of the channels, of equal or different size."""

    def part_of(axis: int) -> tuple[int, str]:
        sizes = [view.shape[axis] for view in step.operation.writes]
        return math.gcd(*sizes), f"a split into {', '.join(map(str, sizes))}"

    return _taken(step, 2, part_of)


def picked(step: Step) -> tuple[Tensor | None, ...]:
    """One index along a dimension, or all one by one: no index may go without the others."""
    chosen = _taken(step, 1, lambda _: (1, "an index"))
    if step.resizable:
        single = [each for each in chosen if each is not None and not axes_of(each)]
        step.lock("it is picked by its index", *single)
    return chosen


def channel_shuffled(step: Step) -> Tensor | None:
    """Torch's own channel shuffle: the places within each group must stay alike."""
    labels = step.read()
    if labels is None:
        return None
    groups, width = int(step.argument(1)), labels.shape[1]
    channels = by_channel(step, labels)
    why = f"a channel shuffle in {groups} groups in {step.place}"
    alike_in_parts(step, channels, width // groups, why)
    order = channels.reshape(groups, width // groups).T.reshape(-1).copy()
    return along(order, 1, step.shape)


def rolled(step: Step) -> Tensor | None:
    """Elements move by fixed numbers of places: along channels, no channel may go."""
    labels = step.read()
    if labels is None:
        return None
    dimensions = step.argument(2) or range(labels.dim())
    if any(varies(labels, axis % labels.dim()) for axis in dimensions):
        step.lock_all("its channels are moved by a fixed number of places")
    return labels


def indexed(step: Step) -> Tensor | None:
    """Elements picked by tensors of indices, which do not move when channels go."""
    labels = step.read()
    if labels is None:
        return None
    indices = step.argument(1)
    picked_axes = [axis for axis, index in enumerate(indices) if index is not None]
    if any(varies(labels, axis) for axis in picked_axes):
        step.lock_all("its channels are picked by index")
        return None
    runs = picked_axes == list(range(picked_axes[0], picked_axes[-1] + 1))
    rest = without(labels, picked_axes)
    if not runs:
        step.lock_all("its channels pass an index of several dimensions")
        return None
    dims = len(step.shape) - (labels.dim() - len(picked_axes))
    shape = (
        *rest.shape[: picked_axes[0]], *[1] * dims, *rest.shape[picked_axes[-1] + 1 :],
    )  # fmt: skip
    return rest.reshape(shape).expand(step.shape)


@dataclass(frozen=True, slots=True)
class Division:
    """A dimension of channels that a view divided into several.

    Attributes:
        labels: Labels after the view, one index where they do not differ.
        axes: The dimensions that it was divided into.
        free: The dimension whose size the code leaves open; None if it leaves none.
        why: What divides, in words.
    """

    labels: Ints
    axes: tuple[int, ...]
    free: int | None
    why: str

    def axis_between(self, first: int, second: int) -> int | None:
        """The dimension along which two labels lie apart; None where they do not, or are not here.

        Args:
            first: One label.
            second: Another.
        """
        places = [np.argwhere(self.labels == each) for each in (first, second)]
        if not all(map(len, places)):
            return None
        apart = np.flatnonzero(places[0][0] != places[1][0])
        return int(apart[0]) if len(apart) == 1 and apart[0] in self.axes else None

    def settle(self, labels: ChannelLabels) -> None:
        """Leave one dimension to shrink: along all others its indices go together.

        It is the one that the code leaves open; else the last along which channels are still told
        apart, when all that comes after the view has been seen.
        """
        sets = labels.sets_of(self.labels)
        apart = [axis for axis in self.axes if not alike(sets, axis)]
        if len(apart) < 2:
            return
        shrinks = self.free if self.free in apart else apart[-1]
        for axis in apart:
            if axis != shrinks:
                labels.join(self.labels.take([0], axis), self.labels)
        labels.tie(self.labels, self.why)


def _taken(
    step: Step, position: int, part_of: Callable[[int], tuple[int, str]]
) -> tuple[Tensor | None, ...]:
    """What an operator takes along one dimension.

    Channels along it must stay alike in parts, unless numbers that say where parts begin can be
    counted anew.

    Args:
        step: The operator.
        position: Which argument names the dimension.
        part_of: The size of the parts along a dimension, and what takes them, in words.
    """
    labels = step.read()
    if labels is None:
        return ()
    axis = _axis(step, position)
    if varies(labels, axis) and not step.resizable:
        part, what = part_of(axis)
        ordered = compact(labels).movedim(axis, 0).numpy()
        why = f"{what} of its channels in {step.place}"
        by_code = part == 1 and axes_of(labels) == [axis]
        alike_in_parts(step, ordered, part, why, by_code=by_code)
    return moved(step)


def _axis(step: Step, position: int) -> int:
    """The dimension that an argument names."""
    return int(step.argument(position) or 0) % len(step.operation.reads[0].shape)


def _factors(before: Sequence[int], after: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
    """Runs of dimensions before and after a reshape that hold the same elements."""
    i = j = 0
    while i < len(before) and j < len(after):
        inside, outside = [i], [j]
        have, want = before[i], after[j]
        i, j = i + 1, j + 1
        while have != want:
            if have < want:
                inside.append(i)
                have, i = have * before[i], i + 1
            else:
                outside.append(j)
                want, j = want * after[j], j + 1
        yield inside, outside
