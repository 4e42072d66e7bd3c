"""Element-wise operators: what meets is joined."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgeprune.tracing.couplings.disjoint_sets import NOTHING
from edgeprune.tracing.couplings.step import axes_of, compact, flat, varies

if TYPE_CHECKING:
    from edgeprune.tracing.couplings.step import Step


def identity(step: Step) -> Tensor | None:
    """Operators that change neither values nor places: clone, a cast, dropout in eval mode."""
    return step.read()


def pointwise(step: Step) -> Tensor | None:
    """Channels that meet element by element go together.

    What is one channel and meets all of another's, as a spatial gate does, stays whole and leaves
    the others free.
    """
    met: _Operand | None = None
    for view, labels in step.reads():
        operand = _Operand.of(view.shape, labels, step)
        met = operand if met is None else _meet(step, met, operand)
    return None if met is None else met.labels


@dataclass(frozen=True, slots=True)
class _Operand:
    """Labels in the shape of the result, and the dimensions along which they were repeated.

    A map of one channel is repeated wherever its label is, by code or by the operator.
    """

    labels: Tensor
    repeated: frozenset[int]

    @classmethod
    def of(cls, own: tuple[int, ...], labels: Tensor, step: Step) -> _Operand:
        shape = step.shape
        sizes = (1,) * (len(shape) - len(own)) + tuple(own)
        labels, is_one = labels.expand(shape), step.labels.is_single(flat(labels))
        repeated = {
            axis
            for axis, size in enumerate(sizes)
            if size < shape[axis] or (is_one and not varies(labels, axis))
        }
        return cls(labels, frozenset(repeated))


def _meet(step: Step, one: _Operand, other: _Operand) -> _Operand:
    """Join two tensors' labels; one that is repeated for each of the other's is locked instead."""
    repeated = one.repeated & other.repeated
    crossed = _crossed(one, other)
    if any(crossed):  # unless what one is repeated for has been joined
        one, other = (replace(each, labels=step.merged(each.labels)) for each in (one, other))
        crossed = _crossed(one, other)
    for operand, is_crossed in zip((one, other), crossed, strict=True):
        if is_crossed:
            step.lock("its one channel meets all channels of another layer", operand.labels)
    if any(crossed):
        return _Operand((other if crossed[0] else one).labels, repeated)
    left, right = compact(one.labels), compact(other.labels)
    step.labels.join(left.numpy(), right.numpy())
    joined = torch.where(left == NOTHING, right, left)
    joined = joined.expand(one.labels.shape)
    return _Operand(joined if left.shape == right.shape else step.merged(joined), repeated)


def _crossed(one: _Operand, other: _Operand) -> list[bool]:
    """Whether one is repeated for channels of the other, and the other for those of the one."""
    return [bool(a.repeated & set(axes_of(b.labels))) for a, b in ((one, other), (other, one))]
