"""What torch's layers are: which own channels, along which axis, and their filters by channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

    from edgeprune.artifacts import Member

NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
CHANNEL_LAYERS = (nn.modules.conv._ConvNd, nn.Linear, *NORMS)
"""Layers whose output channels are known."""


def channel_axis(layer: nn.Module) -> int:
    """The axis of channels in what a layer gives: last for linear layers and plain LayerNorm."""
    plain = type(layer) is nn.LayerNorm and len(layer.normalized_shape) == 1  # others permute
    return -1 if isinstance(layer, nn.Linear) or plain else 1


def normalized_shape(layer: nn.Module) -> tuple[int, ...] | None:
    """What a layer declares that it normalises over, as LayerNorm, RMSNorm and their likes do.

    Args:
        layer: A layer of any class.

    Returns:
        The last dimensions of what it is given; None where it declares none.
    """
    declared = getattr(layer, "normalized_shape", None)
    shape = (declared,) if isinstance(declared, int) else declared
    if not isinstance(shape, tuple | list) or not all(isinstance(each, int) for each in shape):
        return None
    return tuple(shape) or None


def filter_rows(layer: nn.Module) -> Tensor:
    """A convolution's, transposed convolution's or linear layer's weights by output channel.

    Args:
        layer: The layer; its weight is (C_out, C_in/groups, …), or (C_in, C_out/groups, …) if
            it is transposed.

    Returns:
        The filters, (C_out, D), float64.
    """
    weight = layer.get_parameter("weight").detach().double()
    if getattr(layer, "transposed", False):
        groups = group_count(layer)
        split = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
        weight = split.transpose(1, 2).reshape(-1, split.shape[1], *weight.shape[2:])
    return weight.flatten(1)


def group_count(layer: nn.Module) -> int:
    """Number of groups of a convolution; 1 for every other layer."""
    groups = getattr(layer, "groups", 1)
    return groups if isinstance(groups, int) else 1


def weight_views(layer: nn.Module) -> tuple[Tensor, ...]:
    """Views of a layer's weight, (O, I, T) for each of its convolution groups."""
    weight = layer.get_parameter("weight").data
    groups = group_count(layer)
    split = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
    transposed = getattr(layer, "transposed", False)
    return (split.transpose(1, 2) if transposed else split).unbind(0)


def is_depthwise(layer: nn.Module) -> bool:
    """Whether a layer is a convolution each of whose groups reads a single channel."""
    return 1 < group_count(layer) == getattr(layer, "in_channels", 0)


def own_indices(member: Member) -> Tensor:
    """The layer's index of each channel of the group, (C,); for members with one index each."""
    return torch.tensor([indices[0] for indices in member.channels])


def tensor_of(module: nn.Module, name: str) -> Tensor:
    """A parameter or buffer by its dotted name."""
    owner, _, leaf = name.rpartition(".")
    tensor: Tensor = getattr(module.get_submodule(owner), leaf)
    return tensor
