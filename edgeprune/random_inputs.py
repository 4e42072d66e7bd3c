"""Inputs drawn from a standard normal distribution: what a network sees when there is no data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from edgeprune.artifacts import InputSpec


def random_inputs(spec: InputSpec, *, batch: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Draw standard normal inputs.

    Args:
        spec: Input shapes, with batch 1.
        batch: Batch size of the result.
        seed: Random seed.

    Returns:
        One float32 tensor (batch, …) for each positional input.
    """
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(batch, *shape[1:], generator=generator) for shape in spec.shapes)
