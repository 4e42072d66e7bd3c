"""Random inputs: what a network sees when there is no data.

Numbers are standard normal, bytes any of 256, and integers 0 or 1, which are valid as an index and
as a mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune.artifacts import InputSpec


def random_inputs(spec: InputSpec, *, batch: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Draw inputs.

    Args:
        spec: Input shapes, with batch 1, and their types.
        batch: Batch size of the result.
        seed: Random seed.

    Returns:
        One tensor (batch, …) for each positional input.
    """
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        random_tensor((batch, *shape[1:]), dtype, generator) for shape, dtype in spec.typed_shapes
    )


def random_tensor(shape: Sequence[int], dtype: str, generator: torch.Generator) -> torch.Tensor:
    """Draw one tensor of a type, by NumPy's name of it."""
    kind: torch.dtype = getattr(torch, dtype)
    if kind.is_floating_point:
        return torch.randn(*shape, generator=generator).to(kind)
    values = 256 if kind == torch.uint8 else 2
    return torch.randint(values, tuple(shape), generator=generator).to(kind)
