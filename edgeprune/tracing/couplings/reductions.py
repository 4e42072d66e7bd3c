"""Operators along dimensions: means, maxima, softmax, pooling, enlargement.

Along dimensions without channels they change no labels. Along channels a result would change when
a channel goes, and more than that channel's share of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgeprune.tracing.couplings.step import (
    along,
    axes_of,
    by_channel,
    compact,
    varies,
    without,
)

if TYPE_CHECKING:
    from torch import Tensor

    from edgeprune.tracing.couplings.step import Rule, Step


def reduction(what: str, place: int = 1) -> Rule:
    """A rule for an operator along one or several dimensions.

    Args:
        what: What it makes of them: "a mean".
        place: Which argument names the dimensions; without one it runs over all.
    """

    def rule(step: Step) -> tuple[Tensor | None, ...]:
        labels = step.read()
        if labels is None:
            return ()
        axes = _axes(step.argument(place), labels.dim())
        mixed = [axis for axis in axes if varies(labels, axis)]
        if mixed and set(mixed) == set(axes_of(labels)):
            step.lock(f"it goes into {what} over channels", labels)
            return ()
        for axis in mixed:  # over paths or parts, each of which has the same channels
            labels = _joined(step, labels, axis, what)
        rest = without(labels, axes)
        return tuple(_in_shape(rest, axes, view.shape) for view in step.operation.writes)

    return rule


def spatial(step: Step) -> tuple[Tensor | None, ...]:
    """Operators on each channel's map: pooling, enlargement, borders that repeat the map."""
    labels = step.read()
    if labels is None:
        return ()
    extent = re.search(r"(\d)d", step.operation.name)
    shape, axis = step.shape, labels.dim() - 1 - (int(extent[1]) if extent else 2)
    if set(axes_of(labels)) - {0, axis} and not varies(labels, axis):
        step.lock("its channels are pooled together", labels)
        return ()
    made = by_channel(step, labels, axis)
    if len(made) != shape[axis]:  # im2col lays each channel's window along the channels
        made = made.repeat(shape[axis] // len(made))
    return tuple(along(made, axis, view.shape) for view in step.operation.writes)


def _joined(step: Step, labels: Tensor, axis: int, what: str) -> Tensor:
    """Labels after joining what lies along one dimension."""
    least = compact(labels).numpy()
    step.labels.join(least.take([0], axis), least)
    step.labels.tie(least, f"they go into {what} in {step.place}")
    return step.merged(labels)


def _axes(argument: object, dims: int) -> list[int]:
    if isinstance(argument, bool) or not isinstance(argument, int | tuple | list) or argument == ():
        return list(range(dims))
    chosen = argument if isinstance(argument, tuple | list) else (argument,)
    return [axis % dims for axis in chosen] if dims else []


def _in_shape(rest: Tensor, axes: list[int], shape: tuple[int, ...]) -> Tensor | None:
    """Labels after a reduction, whether it keeps the dimensions or not."""
    if rest.dim() != len(shape):
        rest = rest[tuple(0 if axis in axes else slice(None) for axis in range(rest.dim()))]
    return rest.expand(shape) if rest.dim() == len(shape) else None
