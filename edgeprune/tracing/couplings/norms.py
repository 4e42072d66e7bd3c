"""Normalisations: by channel, or over the channels that there are.

Those over channels are, in the network that was cut, over the channels that stay; that is what
they are proved against.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.graph.layers import NORMS, normalized_shape
from edgeprune.tracing.couplings.elementwise import pointwise
from edgeprune.tracing.couplings.step import alike_in_parts, along, axes_of, by_channel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from edgeprune.tracing.couplings.disjoint_sets import Ints
    from edgeprune.tracing.couplings.step import Step


def batch_norm(step: Step) -> Tensor | None:
    """Each channel is normalised by itself."""
    given = step.read()
    if given is None:
        return None
    made = _own_labels(step, given.shape[1])
    if made is None:
        made = _with_tensors(step, given, range(1, 5))
    step.labels.join(by_channel(step, given), made)
    return along(made, 1, step.shape)


def layer_norm(step: Step) -> tuple[Tensor | None, ...]:
    """Over all values along the last dimensions, of which one counts channels."""
    given, shape = step.read(), tuple(step.argument(1))
    if given is None:
        return ()
    inside = [axis for axis in axes_of(given) if axis >= given.dim() - len(shape)]
    if not inside:
        return (given,)
    if not isinstance(step.running, NORMS) and normalized_shape(step.running) != shape:
        return (pointwise(step),)
    axis = given.dim() - len(shape)
    if inside != [axis]:
        step.lock_all(
            f"its channels pass a normalisation over {'x'.join(map(str, shape))} values at a time"
        )
        return (given,)
    return (_declared(step, given, axis),)


def group_norm(step: Step) -> tuple[Tensor | None, ...]:
    """Over blocks of channels, of which equal parts must go; a block may be one channel."""
    given, groups = step.read(), int(step.argument(6))
    if given is None:
        return ()
    width = given.shape[1]
    made = _own_labels(step, width)
    if made is None:
        made = _with_tensors(step, given, (1, 2))
    step.labels.join(by_channel(step, given), made)
    if 1 < groups < width:
        why = f"{step.place} normalises in {groups} groups"
        alike_in_parts(step, made, len(made) // groups, why)
    return (along(made, 1, given.shape),)


def declare_width(step: Step, labels: Tensor, axes: Iterable[int]) -> None:
    """Let a layer that declares what it normalises over shrink with the channels of a statistic.

    Args:
        step: The operator that takes the statistic.
        labels: Labels of what it is taken of.
        axes: The dimensions that it runs over.
    """
    shape = normalized_shape(step.running)
    if shape is None:
        return
    axis = labels.dim() - len(shape)
    over = range(axis, labels.dim())
    if sorted(axes) == list(over) and shape == tuple(labels.shape)[axis:]:
        _declared(step, labels, axis)


def _declared(step: Step, labels: Tensor, axis: int) -> Tensor:
    """Join channels along a dimension with those that the running layer declares."""
    made = step.labels.source(step.operation.layer, "norm", (labels.shape[axis],)).labels
    step.labels.join(by_channel(step, labels, axis), made)
    return along(made, axis, tuple(labels.shape))


def _own_labels(step: Step, width: int) -> Ints | None:
    """Labels of the normalising layer that runs; None where a function normalises."""
    if not isinstance(step.running, NORMS):
        return None
    return step.labels.source(step.operation.layer, "norm", (width,)).labels


def _with_tensors(step: Step, given: Tensor, positions: Iterable[int]) -> Ints:
    """Labels of what is normalised, joined with those of the tensors that a function takes."""
    made = by_channel(step, given)
    for tensor in [each for each in map(step.read, positions) if each is not None]:
        step.labels.join(by_channel(step, tensor, 0), made)
    return made
