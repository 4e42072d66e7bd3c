"""Copies of a network that share its parameters, for stages that look at it or cut it.

A network's weights are nearly all of it: a stage that copies half a gigabyte of them twice needs a
gigabyte more. A light copy has layers, hooks, buffers and gradient flags of its own, and shows the
same numbers. Cutting a layer gives it new ones.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


def light_copy(network: nn.Module, *, device: str | None = None) -> nn.Module:
    """A copy whose parameters share the memory of the network's; none may be written to.

    Args:
        network: Any network; not changed.
        device: Where the copy's parameters and buffers are to be, tied ones still tied, which
            ``Module.to`` would tell apart; None: where the network's are.
    """
    made: dict[int, object] = {
        id(each): nn.Parameter(each.detach().to(device), each.requires_grad)
        for each in network.parameters()
    }
    if device is not None:
        made |= {id(each): each.to(device) for each in network.buffers()}
    return copy.deepcopy(network, made)


def detach_from(lender: nn.Module, copied: nn.Module) -> None:
    """Give a light copy memory of its own for every parameter that still is the lender's.

    Args:
        lender: The network that was copied.
        copied: Its light copy, perhaps cut; changed in place.
    """
    lent = {_memory(each) for each in lender.parameters()}
    for each in copied.parameters():
        if _memory(each) in lent:
            each.data = each.detach().clone()


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
