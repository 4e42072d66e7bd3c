"""Run a network as though some of its channels were not there: what is absent is NaN.

NaN spreads by itself through whatever works on each channel alone: activations, pooling,
BatchNorm, sums of streams, permutations. Two kinds of operators mix channels, and leave out what
is absent. Convolutions and matrix products add nothing for it, so that it counts as zero. Means,
variances, norms and extremes over channels are those of the channels that are there, as they are
in the network that was cut: that is what a normalisation over fewer channels is.

Which channels are absent further down the network is thus seen by running it, independently of
what tracing believes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ABSENT = float("nan")

Axes: TypeAlias = tuple[int, ...]
Named: TypeAlias = "Mapping[str, Any]"
"""The arguments of an operator by the names in its schema."""


class AbsentChannels(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Leaves out what is NaN wherever channels are mixed.

    Attributes:
        over_fewer: The layers with statistics over channels of which some were absent.
    """

    def __init__(self, running: Sequence[str]) -> None:
        """Take the names of the layers that are running, the innermost last."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.over_fewer: dict[str, None] = {}
        self._running = running

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name in SUMS:
            return SUMS[name](func, *args, **kwargs)
        if name in AS_WIDE and args[0].is_floating_point():
            made = func(*args, **kwargs)
            return made.masked_fill(args[0].isnan(), ABSENT) if made.is_floating_point() else made
        if name in STATISTICS and args[0].is_floating_point():
            schema = func._schema.arguments
            named = {each.name: kwargs.get(each.name, each.default_value) for each in schema}
            named |= {each.name: value for each, value in zip(schema, args, strict=False)}
            parts, axes = _parts(args[0], named)
            if _mixed(parts, axes):
                self.over_fewer[self._running[-1]] = None
                return STATISTICS[name](func, parts, axes, named)
        return func(*args, **kwargs)


def _convolution(func: Any, x: Tensor, weight: Tensor, *rest: Any) -> Any:
    """Sums over input channels; a depthwise one has its own filter for each."""
    if 1 < rest[-1] == x.shape[1]:
        return func(x, weight, *rest)
    return func(_zeroed(x), _summands(weight, *range(1, weight.dim())), *rest)


def _product(func: Any, x: Tensor, weight: Tensor) -> Any:
    return func(_summands(x, -1), _summands(weight, -2))


def _product_with_bias(func: Any, bias: Tensor, x: Tensor, weight: Tensor, **scales: Any) -> Any:
    return func(bias, _summands(x, -1), _summands(weight, -2), **scales)


def _parts(x: Tensor, named: Named) -> tuple[Tensor, Axes]:
    """What a statistic runs over: a tensor, and its dimensions."""
    if "group" in named:
        return x.reshape(named["N"], named["group"], -1), (2,)
    if "training" in named:  # with the statistics of what it is given, or with stored ones
        return x, (0, *range(2, x.dim())) if named["training"] else ()
    if "normalized_shape" in named:
        return x, tuple(range(x.dim() - len(named["normalized_shape"]), x.dim()))
    chosen = named.get("dim")
    chosen = (chosen,) if isinstance(chosen, int) else tuple(chosen or range(x.dim()))
    return x, tuple(axis % x.dim() for axis in chosen) if x.dim() else ()


def _mixed(x: Tensor, axes: Axes) -> bool:
    """Whether something along some dimensions is absent while something is there."""
    absent = x.isnan()
    return bool(axes) and bool((absent.any(axes) & ~absent.all(axes)).any())


def _sum(func: Any, x: Tensor, axes: Axes, named: Named) -> Tensor:
    return _summed(x.to(named["dtype"] or x.dtype), axes, keep=named.get("keepdim", False))[0]


def _mean(func: Any, x: Tensor, axes: Axes, named: Named) -> Tensor:
    typed = x.to(named["dtype"] or x.dtype)
    total, count = _summed(typed, axes, keep=named.get("keepdim", False))
    return total / count


def _variance_mean(func: Any, x: Tensor, axes: Axes, named: Named) -> tuple[Tensor, Tensor]:
    """Variance and mean; ``correction`` is what is taken off the count, 1 by default."""
    mean, variance = _moments(x, axes, _correction(named))
    keep = named.get("keepdim", False)
    return (variance, mean) if keep else (variance.squeeze(axes), mean.squeeze(axes))


def _correction(named: Named) -> float:
    given = named.get("correction", named.get("unbiased", True))
    return 1.0 if given is None else float(given)


def _variance(func: Any, x: Tensor, axes: Axes, named: Named) -> Tensor:
    return _variance_mean(func, x, axes, named)[0]


def _deviation(func: Any, x: Tensor, axes: Axes, named: Named) -> Tensor:
    return _variance_mean(func, x, axes, named)[0].sqrt()


def _deviation_mean(func: Any, x: Tensor, axes: Axes, named: Named) -> tuple[Tensor, Tensor]:
    variance, mean = _variance_mean(func, x, axes, named)
    return variance.sqrt(), mean


def _extreme(neutral: float) -> Callable[..., Any]:
    """A maximum or minimum; the index that may come with it counts all channels."""

    def rule(func: Any, x: Tensor, axes: Axes, named: Named) -> Any:
        filled = torch.where(x.isnan(), torch.full_like(x, neutral), x)
        others = {name: value for name, value in named.items() if name != "self"}
        found = func(filled, **others)
        values, *indices = found if isinstance(found, tuple) else (found,)
        values = _where_any(x, axes, values)
        return (values, *indices) if indices else values

    return rule


def _norm(func: Any, x: Tensor, axes: Axes, named: Named) -> Tensor:
    others = {name: value for name, value in named.items() if name != "self"}
    return _where_any(x, axes, func(_zeroed(x), **others))


def _normalised(func: Any, x: Tensor, axes: Axes, named: Named) -> tuple[Tensor, Tensor, Tensor]:
    """LayerNorm, GroupNorm, and BatchNorm with the statistics of what it is given."""
    given, weight, bias = named["input"], named["weight"], named["bias"]
    mean, variance = _moments(x, axes, 0.0)
    scale = (variance + named["eps"]).rsqrt()
    result = ((x - mean) * scale).reshape(given.shape)
    shape = _weight_shape(given, named)
    result = result if weight is None else result * weight.reshape(shape)
    return result if bias is None else result + bias.reshape(shape), mean, scale


def _weight_shape(given: Tensor, named: Named) -> tuple[int, ...]:
    """The shape in which a normalisation's weight meets what is normalised."""
    if "normalized_shape" in named:
        return tuple(named["normalized_shape"])
    return (-1, *[1] * (given.dim() - 2))


def _moments(x: Tensor, axes: Axes, correction: float) -> tuple[Tensor, Tensor]:
    """Mean and variance of what is there; dimensions stay."""
    total, count = _summed(x, axes, keep=True)
    mean = total / count
    squares, _ = _summed((x - mean).square(), axes, keep=True)
    return mean, squares / (count - correction)


def _summed(x: Tensor, axes: Axes, *, keep: bool) -> tuple[Tensor, Tensor]:
    """The sum of what is there, NaN where nothing is; and how much is there."""
    count = (~x.isnan()).sum(axes, keep).to(x.dtype)
    total = _zeroed(x).sum(axes, keep)
    return torch.where(count > 0, total, torch.full_like(total, ABSENT)), count


def _where_any(x: Tensor, axes: Axes, found: Tensor) -> Tensor:
    """A result, NaN where nothing of what it runs over is there."""
    absent = x.isnan().all(axes, keepdim=True).reshape(found.shape)
    return torch.where(absent, torch.full_like(found, ABSENT), found)


def _zeroed(x: Tensor) -> Tensor:
    absent = x.isnan()
    return torch.where(absent, torch.zeros_like(x), x) if bool(absent.any()) else x


def _summands(x: Tensor, *axes: int) -> Tensor:
    """Zero for what is absent along the dimensions that are summed over, unless everything is."""
    absent = x.isnan()
    if not bool(absent.any()):
        return x
    return torch.where(absent & ~absent.all(axes, keepdim=True), torch.zeros_like(x), x)


AS_WIDE = ("zeros_like", "ones_like", "full_like")
"""Operators whose result has the channels of what they are given, by ATen's names."""

SUMS: dict[str, Callable[..., Any]] = {
    "convolution": _convolution,
    "mm": _product,
    "bmm": _product,
    "addmm": _product_with_bias,
    "baddbmm": _product_with_bias,
}
"""Operators that add up what each channel contributes, by ATen's names."""

STATISTICS: dict[str, Callable[..., Any]] = {
    "sum": _sum,
    "mean": _mean,
    "var": _variance,
    "std": _deviation,
    "var_mean": _variance_mean,
    "std_mean": _deviation_mean,
    "amax": _extreme(float("-inf")),
    "amin": _extreme(float("inf")),
    "max": _extreme(float("-inf")),
    "min": _extreme(float("inf")),
    "norm": _norm,
    "linalg_vector_norm": _norm,
    "native_layer_norm": _normalised,
    "native_group_norm": _normalised,
    "native_batch_norm": _normalised,
    "_native_batch_norm_legit": _normalised,
}
"""Operators whose result is that of the channels that are there, by ATen's names."""
