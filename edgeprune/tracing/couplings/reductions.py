"""Operators along dimensions: means, maxima, softmax, pooling, enlargement.

Along dimensions without channels they change no labels. Statistics over channels, as normalisations
and gates take them, are in the network that was cut those of the channels that stay: they have no
channels, and leave those that they read free. What else runs along channels keeps them whole.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgeprune.tracing.couplings.norms import declare_width
from edgeprune.tracing.couplings.step import (
    along,
    axes_of,
    by_channel,
    compact,
    varies,
    without,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from edgeprune.tracing.couplings.step import Rule, Step


def reduction(what: str, place: int = 1) -> Callable[[Step], tuple[Tensor | None, ...]]:
    """A rule for an operator along one or several dimensions, of which channels must stay whole.

    Args:
        what: What it makes of them: "a softmax".
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
        return _along_paths(step, labels, axes, what)

    return rule


def statistic(what: str, place: int = 1, *, normalises: bool = False) -> Rule:
    """A rule for a statistic: over channels it is that of the channels that stay.

    Args:
        what: What it is: "a mean".
        place: Which argument names the dimensions; without one it runs over all.
        normalises: Whether code that divides channels into groups takes it of each group, rather
            than of paths or parts that it merges.
    """
    kept_whole = reduction(what, place)

    def rule(step: Step) -> tuple[Tensor | None, ...]:
        labels = step.read()
        if labels is None:
            return ()
        if _gives_index(step):
            return kept_whole(step)
        axes = _axes(step.argument(place), labels.dim())
        mixed = [axis for axis in axes if varies(labels, axis)]
        if mixed and (
            set(mixed) == set(axes_of(labels))
            or _within_groups(step, labels, mixed, normalises=normalises)
        ):
            declare_width(step, labels, axes)
            return ()
        return _along_paths(step, labels, axes, what)

    return rule


def _gives_index(step: Step) -> bool:
    """Whether the place of a maximum or minimum is asked for beside its value."""
    writes = step.operation.writes
    return step.operation.name in ("max", "min") and any(
        view.value in step.used for view in writes[1:]
    )


def _along_paths(
    step: Step, labels: Tensor, axes: list[int], what: str
) -> tuple[Tensor | None, ...]:
    """Labels after a reduction over paths or parts, each of which has the same channels."""
    for axis in axes:
        if varies(labels, axis):
            labels = _joined(step, labels, axis, what)
    rest = without(labels, axes)
    return tuple(_in_shape(rest, axes, view.shape) for view in step.operation.writes)


def _within_groups(step: Step, labels: Tensor, mixed: Sequence[int], *, normalises: bool) -> bool:
    """Whether a statistic is one of each group of channels, within which channels are to go."""
    if len(mixed) > 1:
        return False
    numbers = compact(labels).movedim(mixed[0], 0).flatten(1)[:, 0]
    first = int(numbers[0])
    second = int(numbers[numbers != first][0])
    for division in reversed(step.labels.divisions):
        axis = division.axis_between(first, second)
        if axis is not None:
            by_default = normalises and division.free is None and axis == division.axes[-1]
            return axis == division.free or by_default
    return normalises and second == first + 1


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
