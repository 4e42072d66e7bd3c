"""Lost channels as the best combinations of those that stay.

Of channels with mean m and covariance C, of which L are lost and K stay,

    a_L ≈ m_L + S (a_K − m_K)        S = C_LK (C_KK + λ̄ I)⁻¹,   λ̄ = λ · mean diag C_KK

is the ridge regression of the lost ones on the others.
"""

from __future__ import annotations

from math import isinf
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def coefficients(cov: Tensor, kept: Tensor, lost: Tensor, ridge: float) -> Tensor:
    """S = C_LK (C_KK + λ̄ I)⁻¹.

    Args:
        cov: C, (C, C).
        kept: Indices of kept channels, (K,).
        lost: Indices of lost channels, (L,).
        ridge: λ; infinite: S = 0.

    Returns:
        (L, K); 0 where no kept channel varies.
    """
    matrix = cov[kept][:, kept].clone()
    level = matrix.diagonal().mean()
    if isinf(ridge) or level <= 0:
        return cov.new_zeros(len(lost), len(kept))
    matrix.diagonal().add_(ridge * level)
    solution: Tensor = torch.linalg.solve(matrix, cov[kept][:, lost])
    return solution.T
