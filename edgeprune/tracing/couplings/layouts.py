"""Operators that move elements, select them or lay tensors side by side: they move the labels.

Most are simply run once more, on the labels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from edgeprune.graph.rerun import rerun
from edgeprune.tracing.couplings.disjoint_sets import NOTHING
from edgeprune.tracing.couplings.step import (
    along,
    axes_of,
    compact,
    flat,
    nothing,
    settled,
    varies,
    without,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune.artifacts.recorded import TensorView
    from edgeprune.tracing.couplings.step import Step


def moved(step: Step) -> tuple[Tensor | None, ...]:
    """Permutations, repetitions, joined shapes: run again on the labels."""
    labels = step.read()
    if labels is None:
        return ()
    result = rerun(step.operation, lambda _: labels)
    parts = [result] if isinstance(result, Tensor) else list(result or ())
    if not parts:
        step.lock_all(f"its channels pass '{step.operation.name}'")
    return tuple(map(settled, parts))


def concatenated(step: Step) -> Tensor | None:
    """Tensors side by side: channels along other dimensions than that one are joined."""
    views = [view for view in step.operation.reads if math.prod(view.shape)]
    axis = int(step.argument(1) or 0) % len(step.shape)
    parts = [_of(step, view) for view in views]
    if step.operation.name == "stack":
        parts = [part.unsqueeze(axis) for part in parts]
    if not step.reads():
        return None
    if any(varies(part, axis) for part in parts):
        parts = [
            _of_fixed_count(step, part.shape, "no layer makes") if _is_bare(part) else part
            for part in parts
        ]  # fmt: skip
    if any(set(axes_of(part)) - {axis} for part in parts):
        _join_across(step, parts, axis)
        return step.merged(_side_by_side(parts, axis))
    return settled(_side_by_side(parts, axis))


def padded(step: Step) -> Tensor | None:
    """Constants around a tensor; along channels they are channels that must stay."""
    labels = step.read()
    if labels is None:
        return None
    pads = tuple(step.argument(1))
    for place in range(len(pads) // 2):
        axis = labels.dim() - 1 - place
        before, after = pads[2 * place : 2 * place + 2]
        if not varies(labels, axis):
            labels = without(labels, [axis]).expand(
                *labels.shape[:axis], step.shape[axis], *labels.shape[axis + 1 :]
            )
        elif before or after:
            labels = _with_fixed(step, labels, axis, before, after)
    return settled(labels)


def restrided(step: Step) -> Tensor | None:
    """Other strides for a map of one pixel, as channels-last pooling sets."""
    if step.operation.reads[0].shape == step.shape and math.prod(step.shape[2:]) == 1:
        return step.read()
    step.lock_all("its channels pass 'as_strided'")
    return None


def _of(step: Step, view: TensorView) -> Tensor:
    labels = step.of(view)
    return nothing(view.shape) if labels is None else labels


def _is_bare(labels: Tensor) -> bool:
    return not axes_of(labels) and int(flat(labels)[0]) == NOTHING


def _join_across(step: Step, parts: Sequence[Tensor], axis: int) -> None:
    """Join the channels of tensors that are laid one behind the other along another dimension."""
    first = None
    for part in parts:
        least = compact(part).movedim(axis, 0)
        if least.shape[0] > 1:
            step.labels.join(least[:1].numpy(), least.numpy())
        if first is None:
            first = least[:1]
        else:
            step.labels.join(first.numpy(), least[:1].numpy())


def _side_by_side(parts: Sequence[Tensor], axis: int) -> Tensor:
    """The labels of a concatenation; only dimensions along which some part differs are spread."""
    spread = {each for part in parts for each in axes_of(part)} | {axis}
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    narrow = [
        without(part, [each for each in range(part.dim()) if each not in spread]) for part in parts
    ]
    return torch.cat(narrow, axis).expand(shape)


def _with_fixed(step: Step, labels: Tensor, axis: int, before: int, after: int) -> Tensor:
    """Labels with channels at both ends that are not the network's to remove."""
    shape = list(labels.shape)
    shape[axis] = 1
    whole = None if step.resizable else _of_fixed_count(step, shape, "are padded")
    ends = []
    for count in (before, after):
        shape[axis] = max(0, count)
        ends.append(constants(step, axis, shape) if whole is None else whole.expand(shape))
    inner = labels.narrow(
        axis, max(0, -before), labels.shape[axis] + min(0, before) + min(0, after)
    )
    return _side_by_side([ends[0], inner, ends[1]], axis)


def _of_fixed_count(step: Step, shape: Sequence[int], which: str) -> Tensor:
    """Labels of channels that are not the network's, as many as its code says."""
    labels = fixed(step, f"it meets channels that {which}", shape)
    step.labels.of_fixed_count.append(flat(labels))
    return labels


def constants(step: Step, axis: int, shape: Sequence[int]) -> Tensor:
    """Labels of channels that are constants, in a network where their number can be changed.

    Args:
        step: The operator that makes them.
        axis: The dimension of channels.
        shape: Shape of the tensor.
    """
    start = step.labels.fresh(shape[axis])
    return along(np.arange(start, start + shape[axis]), axis, tuple(shape))


def fixed(step: Step, why: str, shape: Sequence[int]) -> Tensor:
    """Labels of channels that are not the network's to remove; one for all of them.

    Args:
        step: The operator that makes them.
        why: Why what they meet stays whole, in words.
        shape: Shape of the tensor.
    """
    name = f"fixed channels {len(step.labels)}"
    label = torch.from_numpy(step.labels.source(name, None, (1,)).labels)
    step.lock(why, label)
    return label.reshape([1] * len(shape)).expand(shape)
