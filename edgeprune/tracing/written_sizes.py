"""Numbers in a recorded network that count channels: where they stand, and what they count.

The labels of what an operator reads and makes tell which channels lie along each dimension; a size
along it is how many there are, and the place where a part begins is how many lie before it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Literal, TypeAlias

from edgeprune.artifacts.written import MapProduct, WrittenSize, WrittenSizes
from edgeprune.errors import ModelUnsupported
from edgeprune.graph.running import module_of
from edgeprune.program.form import OperatorCall
from edgeprune.program.network import RecordedNetwork, Scope
from edgeprune.tracing.couplings.step import compact, flat, varies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from edgeprune.artifacts.recorded import Operation
    from edgeprune.tracing.couplings import Couplings
    from edgeprune.tracing.couplings.disjoint_sets import Ints
    from edgeprune.tracing.sides import Side

    Counted: TypeAlias = tuple[int, int | None, Ints]
    """An argument, the element of it, and the sets at the indices that it counts, (N, M)."""

    Finder: TypeAlias = Callable[["_Step"], Iterator[Counted]]


def written_sizes(couplings: Couplings, members: Sequence[Side]) -> WrittenSizes:
    """All numbers that count channels.

    Args:
        couplings: Labels of a recorded network.
        members: Every side of every layer.

    Raises:
        ModelUnsupported: If the network did not run the operators of its program.
    """
    network = couplings.module
    assert isinstance(network, RecordedNetwork)
    steps = [
        (place, step)
        for place, step in enumerate(network.program.steps)
        if isinstance(step, OperatorCall)
    ]
    ran = [
        each
        for each in couplings.record.operations
        if isinstance(module_of(network, each.layer), RecordedNetwork | Scope)
    ]
    if len(steps) != len(ran):
        raise ModelUnsupported("the recorded network runs other operators than it recorded")
    found = []
    for (place, _), operation in zip(steps, ran, strict=True):
        for argument, element, sets in _counted(_Step(operation, couplings)):
            found.append(WrittenSize(place, argument, element, sets))
    owners: dict[tuple[str, Literal["in", "out"]], list[Ints]] = defaultdict(list)
    for side in members:
        owners[side.layer, "in" if side.role == "consumer" else "out"].append(side.sets)
    products = tuple(
        MapProduct(each.macs, couplings.labels.sets_of(flat(made)))
        for each in ran
        if each.macs and (made := couplings.known.get(each.writes[0])) is not None
    )
    owned = {key: tuple(sets) for key, sets in owners.items()}
    return WrittenSizes(tuple(found), products, owned)


class _Step:
    """An operator with the labels of what it reads and makes."""

    def __init__(self, operation: Operation, couplings: Couplings) -> None:
        self.operation = operation
        self.arguments = operation.arguments
        self._couplings = couplings

    def along(self, axis: int, made: int | None = None) -> Ints | None:
        """The sets at each index along a dimension, (C, M); None where there are no channels.

        Args:
            axis: The dimension.
            made: Which output; None: the input.
        """
        views = self.operation.reads if made is None else self.operation.writes
        labels: Tensor | None = self._couplings.known.get(views[made or 0])
        if labels is None or not varies(labels, axis % labels.dim()):
            return None
        least = compact(labels).movedim(axis, 0)
        return self._couplings.labels.sets_of(least.reshape(len(least), -1).numpy())


def _counted(step: _Step) -> Iterator[Counted]:
    finder = FINDERS.get(step.operation.name)
    if finder is not None and step.operation.writes:
        yield from finder(step)


def _shape(position: int) -> Finder:
    """A finder for an operator that is given the shape of what it makes."""

    def find(step: _Step) -> Iterator[Counted]:
        asked = step.arguments[position]
        assert isinstance(asked, tuple)
        for axis, size in enumerate(asked):
            sets = step.along(axis, made=0)
            if size != -1 and sets is not None:
                yield position, axis, sets

    return find


def _parts(step: _Step) -> Iterator[Counted]:
    axis = step.arguments[2]
    assert isinstance(axis, int)
    for part in range(len(step.operation.writes)):
        sets = step.along(axis, made=part)
        if sets is None:  # one channel, or none that is known
            sets = _before(step, axis, part)
        if sets is not None:
            yield 1, part, sets


def _before(step: _Step, axis: int, part: int) -> Ints | None:
    """What lies in a part by the labels of the whole."""
    whole, sizes = step.along(axis), step.arguments[1]
    assert isinstance(sizes, tuple)
    start = sum(sizes[:part])
    return None if whole is None else whole[start : start + sizes[part]]


def _slice(step: _Step) -> Iterator[Counted]:
    axis = step.arguments[1]
    assert isinstance(axis, int)
    whole = step.along(axis)
    if whole is None or step.arguments[4] != 1:
        return
    start, stop, _ = slice(step.arguments[2], step.arguments[3]).indices(len(whole))
    for argument, bound in ((2, start), (3, stop)):
        if step.arguments[argument] is not None and bound < len(whole):
            yield argument, None, whole[:bound]


def _index(step: _Step) -> Iterator[Counted]:
    axis, index = step.arguments[1:3]
    assert isinstance(axis, int)
    assert isinstance(index, int)
    whole = step.along(axis)
    if whole is not None:
        yield 2, None, whole[: index % len(whole)]


def _pads(step: _Step) -> Iterator[Counted]:
    pads = step.arguments[1]
    assert isinstance(pads, tuple)
    for place in range(len(pads) // 2):
        before, after = pads[2 * place : 2 * place + 2]
        whole = step.along(len(step.operation.writes[0].shape) - 1 - place, made=0)
        if whole is not None and min(before, after) >= 0:
            yield 1, 2 * place, whole[:before]
            yield 1, 2 * place + 1, whole[len(whole) - after :]


def _normalized_shape(step: _Step) -> Iterator[Counted]:
    """A normalisation by function over the last dimensions."""
    asked = step.arguments[1]
    assert isinstance(asked, tuple)
    for place in range(len(asked)):
        sets = step.along(place - len(asked), made=0)
        if sets is not None:
            yield 1, place, sets


def _norm_groups(step: _Step) -> Iterator[Counted]:
    """A normalisation by function in groups: how many channels, and groups of one channel each."""
    whole = step.along(1, made=0)
    if whole is not None:
        yield 4, None, whole
        if step.arguments[6] == len(whole):
            yield 6, None, whole


def _groups(step: _Step) -> Iterator[Counted]:
    """A convolution with a filter for each channel, on a weight that is no layer's own."""
    groups = step.arguments[8]
    whole = step.along(1)
    if whole is not None and groups == len(whole) > 1:
        yield 8, None, whole


FINDERS: dict[str, Finder] = {
    **dict.fromkeys(("zeros", "ones", "full"), _shape(0)),
    **dict.fromkeys(("view", "expand", "new_zeros", "new_ones", "new_full"), _shape(1)),
    "split_with_sizes": _parts,
    "slice": _slice,
    "select": _index,
    "constant_pad_nd": _pads,
    "convolution": _groups,
    "native_layer_norm": _normalized_shape,
    "native_group_norm": _norm_groups,
}
"""How the numbers of each operator are found; all others are given none that counts channels."""
