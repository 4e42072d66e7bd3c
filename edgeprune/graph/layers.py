"""The filters of a layer, one row for each of its output channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgeprune.artifacts import Member


def filter_rows(layer: nn.Module) -> Tensor:
    """A convolution's, transposed convolution's or linear layer's weights by output channel.

    Args:
        layer: The layer; its weight is (C_out, C_in/groups, …), or (C_in, C_out/groups, …) if
            it is transposed.

    Returns:
        (C_out, D), float64.
    """
    weight = layer.get_parameter("weight").detach().double()
    if getattr(layer, "transposed", False):
        groups = group_count(layer)
        blocks = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
        weight = blocks.transpose(1, 2).reshape(-1, blocks.shape[1], *weight.shape[2:])
    return weight.flatten(1)


def group_count(layer: nn.Module) -> int:
    """Into how many groups a convolution is split; 1 for every other layer."""
    groups = getattr(layer, "groups", 1)
    return groups if isinstance(groups, int) else 1


def own_indices(member: Member) -> Tensor:
    """The layer's index of each channel of the group, (C,); for members with one index each."""
    return torch.tensor([indices[0] for indices in member.channels])
