"""One recorded operator, with the channel labels of the tensors that it reads.

A tensor's labels have its shape; along every dimension in which they do not differ they have
stride 0, so that a map costs as many numbers as it has channels, however large it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn

from edgeprune.artifacts.recorded import Operation, TensorView, Value
from edgeprune.graph.layers import is_depthwise, normalized_shape
from edgeprune.graph.running import in_words, module_of
from edgeprune.tracing.couplings.disjoint_sets import NOTHING, Ints

if TYPE_CHECKING:
    from edgeprune.artifacts import Role
    from edgeprune.tracing.couplings.labels import ChannelLabels

Rule: TypeAlias = Callable[["Step"], "Tensor | tuple[Tensor | None, ...] | None"]
"""Computes the labels of an operator's outputs, and joins and locks what has to be."""

Known: TypeAlias = Mapping[TensorView, "Tensor | None"]


@dataclass(frozen=True, slots=True)
class Step:
    """One recorded operator.

    Attributes:
        operation: The operator.
        known: Labels of tensors so far; None for those without channels.
        labels: All labels of the network.
        tensors: Names of the values that are parameters or buffers.
        weights: Names of the parameters that stand transposed or not behind a value, and whether
            transposed.
        moving: Values that depend on the network's input.
        used: Values that some operator reads, or the network returns.
        module: The network.
        resizable: Whether numbers in the network that count channels can be changed.
    """

    operation: Operation
    known: Known
    labels: ChannelLabels
    tensors: Mapping[Value, str]
    weights: Mapping[Value, tuple[str, bool]]
    moving: Collection[Value]
    used: Collection[Value]
    module: nn.Module
    resizable: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first output."""
        return self.operation.writes[0].shape

    @property
    def place(self) -> str:
        """Where the operator runs, in words."""
        return in_words(self.operation.layer)

    @property
    def running(self) -> nn.Module:
        """The innermost module whose forward ran the operator."""
        return module_of(self.module, self.operation.layer)

    def argument(self, position: int) -> Any:
        """An argument as it was passed; None where the operator has fewer."""
        arguments = self.operation.arguments
        return arguments[position] if position < len(arguments) else None

    def view(self, position: int) -> TensorView | None:
        """A tensor among the arguments; None where another kind of value was passed."""
        argument = self.argument(position)
        return argument if isinstance(argument, TensorView) else None

    def of(self, view: TensorView | None) -> Tensor | None:
        """Labels of a tensor that the operator reads; parameters get theirs here."""
        if view is None:
            return None
        if view not in self.known and view.value in self.tensors and math.prod(view.shape) > 1:
            return self._of_tensor(self.tensors[view.value], view.shape)
        return self.known.get(view)

    def _of_tensor(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """A number for each element; a bias, and a convolution's weight, have what it makes."""
        owner, _, leaf = name.rpartition(".")
        layer = self.module.get_submodule(owner)
        if leaf == "weight" and isinstance(layer, nn.modules.conv._ConvNd) and is_plain(layer):
            made = self.labels.source(owner, made_by(layer), (layer.out_channels,)).labels
            return along(made, 0, shape)
        if leaf in ("weight", "bias") and normalized_shape(layer) == shape:
            made = self.labels.source(owner, "norm", shape[:1]).labels
            return along(made, 0, shape)
        if leaf == "bias" and isinstance(layer, nn.Linear):  # added apart where strides are odd
            made = self.labels.source(owner, "producer", (layer.out_features,)).labels
            return along(made, len(shape) - 1, shape)
        return torch.from_numpy(self.labels.source(name, None, shape).labels).reshape(shape)

    def read(self, position: int = 0) -> Tensor | None:
        """Labels of an argument."""
        return self.of(self.view(position))

    def moves(self, position: int) -> bool:
        """Whether an argument depends on the network's input."""
        view = self.view(position)
        return view is not None and view.value in self.moving

    def reads(self) -> list[tuple[TensorView, Tensor]]:
        """All tensors with labels that the operator reads."""
        pairs = ((view, self.of(view)) for view in self.operation.reads)
        return [(view, labels) for view, labels in pairs if labels is not None]

    def merged(self, labels: Tensor) -> Tensor:
        """The same labels by their sets, stride 0 wherever they now do not differ."""
        least = torch.from_numpy(self.labels.sets_of(compact(labels).numpy()))
        return settled(least.expand(labels.shape))

    def lock(self, why: str, *labels: Tensor | None) -> None:
        """Keep labels whole; ``why`` is in words, without the place."""
        for each in labels:
            if each is not None:
                self.labels.lock(flat(each), f"{why} in {self.place}")

    def lock_all(self, why: str) -> None:
        """Keep whole what the operator touches."""
        self.lock(why, *(self.known.get(view) for view in self.operation.reads))


def is_plain(conv: nn.modules.conv._ConvNd) -> bool:
    """Whether the first axis of a convolution's weight counts what it makes."""
    return not conv.transposed


def made_by(conv: nn.modules.conv._ConvNd) -> Role:
    """What a convolution is to the channels that it makes."""
    return "depthwise" if is_depthwise(conv) else "producer"


def compact(labels: Tensor) -> Tensor:
    """The labels with one index along every dimension in which they do not differ."""
    whole = slice(None)
    return labels[tuple(slice(0, 1) if stride == 0 else whole for stride in labels.stride())]


def flat(labels: Tensor) -> Ints:
    """All labels that occur, as an array."""
    return compact(labels).reshape(-1).numpy()


def settled(labels: Tensor) -> Tensor:
    """The same labels, stride 0 wherever they do not differ."""
    shape, least = labels.shape, compact(labels)
    for axis, size in enumerate(least.shape):
        if size > 1:
            first = least.narrow(axis, 0, 1)
            if bool((least == first).all()):
                least = first
    return least.expand(shape)


def varies(labels: Tensor, axis: int) -> bool:
    """Whether labels differ along a dimension."""
    return labels.shape[axis] > 1 and labels.stride()[axis] != 0


def axes_of(labels: Tensor) -> list[int]:
    """The dimensions along which labels differ."""
    return [axis for axis in range(labels.dim()) if varies(labels, axis)]


def without(labels: Tensor, axes: Iterable[int]) -> Tensor:
    """The first index along some dimensions, which keep extent 1."""
    for axis in axes:
        labels = labels.narrow(axis, 0, 1)
    return labels


def along(labels: Ints, axis: int, shape: tuple[int, ...]) -> Tensor:
    """Labels that differ along one dimension of a tensor.

    Args:
        labels: One for each index, (C,).
        axis: The dimension.
        shape: Shape of the tensor.
    """
    sizes = [1] * len(shape)
    sizes[axis] = len(labels)
    return torch.from_numpy(labels).reshape(sizes).expand(shape)


def nothing(shape: tuple[int, ...]) -> Tensor:
    """Labels of a tensor without channels."""
    return torch.full((1,) * len(shape), NOTHING).expand(shape)


def alike_in_parts(step: Step, labels: Ints, part: int, why: str, *, by_code: bool = False) -> None:
    """Join what has the same place in each of several parts of equal size.

    Args:
        step: The operator that divides.
        labels: Labels by index along the dimension that it divides, (C, …).
        part: Indices in each part.
        why: What divides, in words.
        by_code: Whether that is a number in the network's code.

    Raises:
        ValueError: If the parts do not fill the dimension.
    """
    places = labels.reshape(-1, part, *labels.shape[1:])
    step.labels.join(places[:1], places)
    step.labels.tie(places, why, by_code=by_code)


def by_channel(step: Step, labels: Tensor, axis: int = 1) -> Ints:
    """One label for each index along a dimension, after joining what shares an index.

    Args:
        step: The operator that treats every such index alike.
        labels: Labels of the tensor.
        axis: The dimension.

    Returns:
        (C,).
    """
    ordered = compact(labels).movedim(axis, 0)
    least = ordered.reshape(len(ordered), -1).numpy()
    anchors: Ints = least.max(axis=1)
    if least.shape[1] > 1:
        step.labels.join(anchors[:, None], least)
        step.labels.tie(least, f"{step.place} reads them side by side")
    return anchors if len(anchors) == labels.shape[axis] else anchors.repeat(labels.shape[axis])
