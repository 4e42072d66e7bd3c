"""Layers that read channels and make channels: convolutions and linear layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from edgeprune.tracing.couplings.layouts import fixed
from edgeprune.tracing.couplings.step import (
    alike_in_parts,
    along,
    axes_of,
    by_channel,
    is_plain,
    made_by,
    varies,
    without,
)

if TYPE_CHECKING:
    from edgeprune.tracing.couplings.step import Step

BARE = "its channels pass a weight that is no layer's own"
MADE_BARE = "it meets channels that a weight makes which is no layer's own"
ALONG = "a convolution runs along its channels, as ECA's does,"
BESIDE = "a convolution reads its channels as places of a map"
MULTIPLIED = "its channels are multiplied with each other, as attention does,"


def convolution(step: Step) -> Tensor | None:
    """Reads channels on its input side, makes channels on its output side."""
    layer = _layer_of(step, 1, nn.modules.conv._ConvNd) or _computing(step)
    given = step.read()
    if layer is None:
        return _with_bare_weight(step)
    name, conv = layer
    assert isinstance(conv, nn.modules.conv._ConvNd)
    groups, width_in, width_out = conv.groups, conv.in_channels, conv.out_channels
    role = made_by(conv)
    made = step.labels.source(name, role, (width_out,)).labels
    if role == "depthwise":
        read = made.reshape(width_in, -1)
        step.labels.join(read[:, :1], read)
        read = read[:, 0]
    else:
        read = step.labels.source(name, "consumer", (width_in,)).labels
        if groups > 1:
            why = f"'{name}' is a convolution in {groups} groups"
            for side in (read, made):
                alike_in_parts(step, side, len(side) // groups, why)
    if given is not None:
        axis = given.dim() - len(conv.kernel_size) - 1
        runs = {axis + 1 + place for place, size in enumerate(conv.kernel_size) if size > 1}
        lying = set(axes_of(given)) & set(range(axis + 1, given.dim()))
        if not varies(given, axis) and lying:
            step.lock(ALONG if lying & runs else BESIDE, given)
        step.labels.join(by_channel(step, given, axis), read)
    return along(made, len(step.shape) - len(conv.kernel_size) - 1, step.shape)


def linear(step: Step) -> Tensor | None:
    """Reads and makes channels along the last dimension: addmm and mm with a layer's weight."""
    position = step.operation.name == "addmm"
    layer = _layer_of(step, position + 1, nn.Linear, transposed=True)
    if layer is None:
        return products(step, position, position + 1)
    name, fc = layer
    assert isinstance(fc, nn.Linear)
    given = step.read(position)
    if given is not None:
        read = step.labels.source(name, "consumer", (fc.in_features,)).labels
        step.labels.join(by_channel(step, given, given.dim() - 1), read)
    made = step.labels.source(name, "producer", (fc.out_features,)).labels
    return along(made, len(step.shape) - 1, step.shape)


def products(step: Step, first: int = 0, second: int = 1) -> Tensor | None:
    """Matrix products of feature maps, as attention has: what is summed over stays whole."""
    rows = columns = None
    one, other = step.read(first), step.read(second)
    attention = isinstance(step.running, nn.MultiheadAttention)
    both = all(step.moves(position) for position in (first, second))
    why = MULTIPLIED if both or attention else BARE
    if one is not None:
        rows = _row_labels(step, one, one.dim() - 1, why)
    if other is not None:
        columns = _row_labels(step, other, max(0, other.dim() - 2), why)
    if rows is not None and columns is not None and axes_of(rows) and axes_of(columns):
        step.lock(why, rows, columns)
        return None
    kept = rows if rows is not None and axes_of(rows) else columns
    return kept.expand(step.shape) if kept is not None and kept.dim() == len(step.shape) else None


def _with_bare_weight(step: Step) -> Tensor | None:
    """A filter of its own for each channel, as blurring has it, goes with its channel."""
    given, weight, bias = step.read(), step.read(1), step.read(2)
    groups = int(step.argument(8))
    is_depthwise = 1 < groups == step.shape[1] and not step.moves(1)
    if given is None or weight is None or not is_depthwise or len(weight) != groups:
        step.lock_all(BARE)
        return fixed(step, MADE_BARE, step.shape)
    made = by_channel(step, given)
    for tensor in (weight, bias):
        if tensor is not None:
            step.labels.join(by_channel(step, tensor, 0), made)
    return along(made, 1, step.shape)


def _computing(step: Step) -> tuple[str, nn.Module] | None:
    """The convolution that runs with a weight computed from its own, as standardisation does.

    What it makes is told from the weight's labels; what it reads, by its place.
    """
    conv, weight = step.running, step.view(1)
    if not isinstance(conv, nn.modules.conv._ConvNd) or not is_plain(conv):
        return None
    labels, own = step.read(1), conv._parameters.get("weight")
    if labels is None or weight is None or own is None or step.moves(1):
        return None
    if weight.shape != own.shape:
        return None
    made = step.labels.source(step.operation.layer, made_by(conv), (conv.out_channels,)).labels
    step.labels.join(by_channel(step, labels, 0), made)
    return step.operation.layer, conv


def _layer_of(
    step: Step, position: int, kind: type[nn.Module], *, transposed: bool = False
) -> tuple[str, nn.Module] | None:
    """The layer whose weight stands among the arguments, with its name."""
    view = step.view(position)
    found = step.weights.get(view.value) if view is not None else None
    if found is None or found[1] is not transposed:
        return None
    name, _, leaf = found[0].rpartition(".")
    module = step.module.get_submodule(name)
    return (name, module) if leaf == "weight" and isinstance(module, kind) else None


def _row_labels(step: Step, labels: Tensor, summed: int, why: str) -> Tensor:
    """Labels of a factor along what is not summed over; locked where they are summed over."""
    if summed in axes_of(labels):
        step.lock(why, labels)
        return without(labels, axes_of(labels))
    return without(labels, [summed])
