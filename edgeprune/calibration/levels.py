"""Levels of a tensor's channels, and what ONNX's operators make of them.

Each channel has a mean and a standard deviation, the whole tensor a span that its values keep to.
Channels count as Gaussian and, where they are added, as independent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import torch
from onnx import numpy_helper
from torch import Tensor

from edgeprune.choices import Choices
from edgeprune.moments.gaussian import Curve, expand

if TYPE_CHECKING:
    import onnx

    from edgeprune.artifacts import Range

REACH = 6.0
"""Standard deviations on either side of a channel's mean that a span holds."""


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """Levels of one tensor.

    Attributes:
        mean: Mean of each channel, (C,), float64.
        std: Standard deviation of each channel, (C,), float64.
        span: Lowest and highest value.
    """

    mean: Tensor
    std: Tensor
    span: Range

    def of(self, channels: int) -> Levels:
        """The same for a tensor with this many channels, after a reshape for instance."""
        have = len(self.mean)
        if have == channels:
            return self
        if channels % have == 0:
            times = channels // have
            return replace(
                self,
                mean=self.mean.repeat_interleave(times),
                std=self.std.repeat_interleave(times),
            )
        mean, std = self.mean.mean().expand(channels), self.std.mean().expand(channels)
        return replace(self, mean=mean, std=std)


Node: TypeAlias = "onnx.NodeProto"
Constants: TypeAlias = "dict[str, onnx.TensorProto]"
Rule: TypeAlias = Callable[
    ["onnx.NodeProto", Sequence[Levels], "dict[str, onnx.TensorProto]"], Levels
]
"""A node, the levels of its inputs that vary, and all constants → the levels of its outputs."""


def reaching(mean: Tensor, std: Tensor) -> Levels:
    """Levels of Gaussian channels, with the span that they reach."""
    return Levels(mean, std, (float((mean - REACH * std).min()), float((mean + REACH * std).max())))


def weighted(read: Levels, weight: Tensor, bias: Tensor | None) -> Levels:
    """Levels behind a convolution or a linear layer without a BatchNorm.

    Args:
        read: What it reads, C_in channels, or those of one group after the other.
        weight: (C_out, C_in / groups, …).
        bias: (C_out,), or None.
    """
    out, per_group = weight.shape[:2]
    taps = weight.double().flatten(2) if weight.dim() > 2 else weight.double()[..., None]
    groups = max(1, len(read.mean) // per_group)
    source = read.of(groups * per_group)
    group = torch.arange(out) // max(1, out // groups)
    index = (group[:, None] * per_group + torch.arange(per_group)).clamp_max(len(source.mean) - 1)
    mean = (taps.sum(2) * source.mean[index]).sum(1)
    apart = (taps.square().sum(2) * source.std[index].square()).sum(1)
    alike = (taps.sum(2).square() * source.std[index].square()).sum(1)
    if bias is not None:
        mean = mean + bias.double()
    return reaching(mean, torch.maximum(apart, alike).sqrt())


def _curve(curve: Curve) -> Rule:
    def rule(_: Node, read: Sequence[Levels], __: Constants) -> Levels:
        return _through(curve, read[0])

    return rule


def _through(curve: Curve, read: Levels) -> Levels:
    low, high = read.span
    found = expand(lambda values: curve(values.clamp(low, high)), read.mean, read.std)
    image = curve(torch.linspace(low, high, 1001, dtype=torch.float64)[None])
    return Levels(found.mean, found.variance.sqrt(), (float(image.min()), float(image.max())))


def _clip(node: Node, read: Sequence[Levels], constants: Constants) -> Levels:
    given = [constants.get(name) for name in node.input[1:]]
    low, high = (
        float(numpy_helper.to_array(each)) if each is not None else None
        for each in (*given, None, None)[:2]
    )
    return _through(lambda values: values.clamp(low, high), read[0])


def _hard_sigmoid(node: Node, read: Sequence[Levels], _: Constants) -> Levels:
    slope, shift = _attribute(node, "alpha", 0.2), _attribute(node, "beta", 0.5)
    return _through(lambda values: (slope * values + shift).clamp(0, 1), read[0])


def _leaky(node: Node, read: Sequence[Levels], _: Constants) -> Levels:
    slope = _attribute(node, "alpha", 0.01)
    return _through(lambda values: torch.where(values < 0, slope * values, values), read[0])


def _add(node: Node, read: Sequence[Levels], constants: Constants) -> Levels:
    if len(read) < 2:
        shift = _constant(node, constants)
        low, high = read[0].span
        span = (low + float(shift.min()), high + float(shift.max()))
        return Levels(read[0].mean + shift.mean(), read[0].std, span)
    channels = max(len(each.mean) for each in read)
    first, *others = (each.of(channels) for each in read)
    mean = first.mean + sum(each.mean for each in others)
    variance = first.std.square() + sum(each.std.square() for each in others)
    reached = reaching(mean, variance.sqrt())
    lowest = sum(each.span[0] for each in read)
    highest = sum(each.span[1] for each in read)
    span = (max(reached.span[0], lowest), min(reached.span[1], highest))
    return replace(reached, span=span)


def _mul(node: Node, read: Sequence[Levels], constants: Constants) -> Levels:
    if len(read) < 2:
        factor = _constant(node, constants)
        ends = [end * float(f) for end in read[0].span for f in (factor.min(), factor.max())]
        scale = float(factor.abs().mean())
        return Levels(read[0].mean * scale, read[0].std * scale, (min(ends), max(ends)))
    channels = max(len(each.mean) for each in read)
    a, b = (each.of(channels) for each in read[:2])
    ends = [x * y for x in a.span for y in b.span]
    variance = (a.mean * b.std).square() + (b.mean * a.std).square() + (a.std * b.std).square()
    return Levels(a.mean * b.mean, variance.sqrt(), (min(ends), max(ends)))


def _concat(_: Node, read: Sequence[Levels], __: Constants) -> Levels:
    return Levels(
        torch.cat([each.mean for each in read]),
        torch.cat([each.std for each in read]),
        (min(each.span[0] for each in read), max(each.span[1] for each in read)),
    )


def _same(_: Node, read: Sequence[Levels], __: Constants) -> Levels:
    return read[0]


def _share(_: Node, read: Sequence[Levels], __: Constants) -> Levels:
    return replace(read[0], mean=torch.full_like(read[0].mean, 1 / len(read[0].mean)), span=(0, 1))


def _with_zero(_: Node, read: Sequence[Levels], __: Constants) -> Levels:
    low, high = read[0].span
    return replace(read[0], span=(min(low, 0.0), max(high, 0.0)))


def _attribute(node: Node, name: str, default: float) -> float:
    return next((float(each.f) for each in node.attribute if each.name == name), default)


def _constant(node: Node, constants: Constants) -> Tensor:
    values = [numpy_helper.to_array(constants[name]) for name in node.input if name in constants]
    return torch.from_numpy(values[0].copy()).double() if values else torch.zeros(1).double()


RULES: Choices[Rule] = Choices(
    "rule for levels",
    {
        "Relu": _curve(torch.relu),
        "Sigmoid": _curve(torch.sigmoid),
        "HardSigmoid": _hard_sigmoid,
        "HardSwish": _curve(lambda values: values * (values / 6 + 0.5).clamp(0, 1)),
        "Clip": _clip,
        "LeakyRelu": _leaky,
        "Add": _add,
        "Mul": _mul,
        "Concat": _concat,
        "Pad": _with_zero,
        "Softmax": _share,
        **dict.fromkeys(
            ("MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "Resize", "Reshape",
             "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split", "Gather",
             "Identity"),
            _same,
        ),
    },
)  # fmt: skip
