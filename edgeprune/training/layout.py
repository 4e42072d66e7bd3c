"""Memory layout of tensors in training: channels last, which is faster for convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


def by_pixel(module: nn.Module, device: torch.device) -> nn.Module:
    """Move a module to a device, its four-dimensional weights with channels last.

    Args:
        module: Changed in place.
        device: Target device.

    Returns:
        The module.
    """
    module.to(device)
    return _laid_out(module, torch.channels_last)


def by_channel(module: nn.Module) -> nn.Module:
    """Move a module to the CPU, its weights in PyTorch's default layout, in place."""
    return _laid_out(module.cpu(), torch.contiguous_format)


def images_by_pixel(inputs: Tensor, device: torch.device) -> Tensor:
    """Move inputs to a device, with channels last if they are images, (N, C, H, W)."""
    if inputs.dim() != 4:
        return inputs.to(device)
    return inputs.to(device, memory_format=torch.channels_last)


def _laid_out(module: nn.Module, layout: torch.memory_format) -> nn.Module:
    for each in (*module.parameters(), *module.buffers()):
        if each.dim() == 4:
            each.data = each.data.contiguous(memory_format=layout)
    return module
