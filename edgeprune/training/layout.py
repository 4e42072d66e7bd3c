"""Memory layout of tensors in training: channels last on accelerators, the default one on CPUs.

Channels last is faster for convolutions on GPUs. On CPUs it gains a few per cent at most, and in
the backward pass oneDNN writes past its buffers for some networks: a segmentation fault, or a
corrupted heap, which no caller can catch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


def on_device(module: nn.Module, device: torch.device) -> nn.Module:
    """Move a module to a device, its four-dimensional weights in the layout that suits it.

    Args:
        module: Changed in place.
        device: Target device.

    Returns:
        The module.
    """
    return _laid_out(module.to(device), layout_of(device))


def by_channel(module: nn.Module) -> nn.Module:
    """Move a module to the CPU, its weights in PyTorch's default layout, in place."""
    return _laid_out(module.cpu(), torch.contiguous_format)


def inputs_on_device(inputs: Tensor, device: torch.device) -> Tensor:
    """Move inputs to a device, in the layout that suits it if they are images, (N, C, H, W)."""
    if inputs.dim() != 4:
        return inputs.to(device)
    return inputs.to(device, memory_format=layout_of(device))


def layout_of(device: torch.device) -> torch.memory_format:
    """The layout of images and convolutions on a device."""
    return torch.contiguous_format if device.type == "cpu" else torch.channels_last


def _laid_out(module: nn.Module, layout: torch.memory_format) -> nn.Module:
    for each in (*module.parameters(), *module.buffers()):
        if each.dim() == 4:
            each.data = each.data.contiguous(memory_format=layout)
    return module
