"""The cut: every layer loses its own indices, and its declared widths follow.

Weights are sliced, so that what stays is bit for bit what it was. A convolution in groups loses
the same places from each; a depthwise one loses whole groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from edgeprune.graph.layers import NORMS, is_depthwise, normalized_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from edgeprune.artifacts import Side

    Cut = Callable[[nn.Module, Collection[int], Collection[int]], None]


def cut_layers(
    network: nn.Module,
    lost: Mapping[tuple[str, Side], Collection[int]],
    axes: Mapping[str, int],
) -> None:
    """Remove indices from the layers of ``network``, in place.

    Args:
        network: A copy that may be changed.
        lost: The layer's own indices that go, by layer and side.
        axes: Axis along which channels lie, for parameters and buffers that no layer owns.
    """
    modules = dict(network.named_modules())
    for layer in dict.fromkeys(layer for layer, _ in lost):
        reads, makes = lost.get((layer, "in"), ()), lost.get((layer, "out"), ())
        if layer in modules:
            _rule_of(modules[layer])(modules[layer], reads, makes)
        else:
            owner, _, name = layer.rpartition(".")
            _narrow(network.get_submodule(owner), name, axes[layer], makes)


def _rule_of(module: nn.Module) -> Cut:
    for kind, rule in RULES.items():
        if isinstance(module, kind):
            return rule
    if normalized_shape(module) is not None:
        return _cut_shaped_norm
    raise TypeError(f"no rule cuts a {type(module).__name__}")


def _cut_convolution(
    conv: nn.modules.conv._ConvNd, reads: Collection[int], makes: Collection[int]
) -> None:
    if is_depthwise(conv):
        _cut_depthwise(conv, makes)
        return
    if conv.transposed:  # its weight is (C_in, C_out / groups, …)
        _narrow(conv, "weight", 0, reads)
        _narrow(conv, "weight", 1, _in_first_group(makes, conv.out_channels // conv.groups))
    else:  # (C_out, C_in / groups, …)
        _narrow(conv, "weight", 0, makes)
        _narrow(conv, "weight", 1, _in_first_group(reads, conv.in_channels // conv.groups))
    _narrow(conv, "bias", 0, makes)
    conv.in_channels -= len(reads)
    conv.out_channels -= len(makes)


def _cut_depthwise(conv: nn.modules.conv._ConvNd, makes: Collection[int]) -> None:
    """Groups go with the channels that they read; the weight's first axis runs over them."""
    each = conv.out_channels // conv.in_channels
    groups = {index // each for index in makes}
    _narrow(conv, "weight", 0, groups if conv.transposed else makes)
    _narrow(conv, "bias", 0, makes)
    conv.groups -= len(groups)
    conv.in_channels -= len(groups)
    conv.out_channels -= len(makes)


def _cut_linear(fc: nn.Linear, reads: Collection[int], makes: Collection[int]) -> None:
    _narrow(fc, "weight", 0, makes)
    _narrow(fc, "weight", 1, reads)
    _narrow(fc, "bias", 0, makes)
    fc.in_features -= len(reads)
    fc.out_features -= len(makes)


def _cut_norm(norm: nn.Module, _: Collection[int], makes: Collection[int]) -> None:
    for name in ("weight", "bias", "running_mean", "running_var"):
        _narrow(norm, name, 0, makes)
    if isinstance(norm, nn.GroupNorm):
        if norm.num_groups == norm.num_channels:  # each channel by itself
            norm.num_groups -= len(makes)
        norm.num_channels -= len(makes)
    else:
        assert isinstance(norm, nn.modules.batchnorm._NormBase)
        norm.num_features -= len(makes)


def _cut_shaped_norm(norm: nn.Module, _: Collection[int], makes: Collection[int]) -> None:
    """LayerNorm, RMSNorm, and whatever else declares what it normalises over."""
    shape = normalized_shape(norm)
    assert shape is not None
    for name in ("weight", "bias"):
        if getattr(getattr(norm, name, None), "shape", None) == shape:
            _narrow(norm, name, 0, makes)
    declared: Any = norm.normalized_shape
    left = (shape[0] - len(makes), *shape[1:])
    said: Any = left[0] if isinstance(declared, int) else type(declared)(left)
    norm.normalized_shape = said


def _cut_prelu(prelu: nn.PReLU, _: Collection[int], makes: Collection[int]) -> None:
    _narrow(prelu, "weight", 0, makes)
    prelu.num_parameters -= len(makes)


def _in_first_group(indices: Collection[int], width: int) -> list[int]:
    """Places of the indices within the first group; all groups lose the same."""
    return [index for index in indices if index < width]


def _narrow(owner: nn.Module, name: str, axis: int, gone: Collection[int]) -> None:
    """Take indices out of a parameter or buffer, if there is one of that name."""
    value = getattr(owner, name, None)
    if not isinstance(value, Tensor) or not gone:
        return
    lost = set(gone)
    kept = torch.tensor([i for i in range(value.shape[axis]) if i not in lost], device=value.device)
    with torch.no_grad():
        narrowed = value.detach().index_select(axis, kept)
    if isinstance(value, nn.Parameter):
        setattr(owner, name, nn.Parameter(narrowed, requires_grad=value.requires_grad))
    else:
        setattr(owner, name, narrowed)


RULES: dict[type[nn.Module] | tuple[type[nn.Module], ...], Cut] = {
    nn.modules.conv._ConvNd: _cut_convolution,  # type: ignore[dict-item]
    nn.Linear: _cut_linear,  # type: ignore[dict-item]
    nn.LayerNorm: _cut_shaped_norm,
    NORMS: _cut_norm,
    nn.PReLU: _cut_prelu,  # type: ignore[dict-item]
}
"""How each kind of layer is cut: the layer, what it no longer reads, what it no longer makes."""
