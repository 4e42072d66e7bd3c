"""How far features are from those that are wanted, as a share of what varies in them."""

from __future__ import annotations

from math import inf, isfinite
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def relative_error(wanted: Tensor, actual: Tensor) -> float:
    """Share of what varies in ``wanted`` that ``actual`` misses.

    Args:
        wanted: Outputs of the original, (N, …).
        actual: Outputs of the other network, of the same shape.

    Returns:
        ‖actual − wanted‖² / ‖wanted − mean over inputs‖²; infinite where it is not finite. A
        single input has no mean but 0.
    """
    wanted, actual = wanted.double(), actual.double()
    mean = wanted.mean(0) if len(wanted) > 1 else 0.0
    variation = (wanted - mean).square().sum().clamp_min(torch.finfo(wanted.dtype).tiny)
    error = float((actual - wanted).square().sum() / variation)
    return error if isfinite(error) else inf
