"""What the authors' own codes compute, where it is not what their papers derive.

Published figures come from these codes, so a table to be set beside them needs the same
arithmetic. Both know one case only: a convolution with filters u, then BatchNorm, then a consumer.
Where the papers have the standard deviation both take the running variance v. With g = γ/v,
the zero crossing h = μ − v β/γ and the ratio κ_pk = g_p/g_k, for removed p and kept K:

LBYL (arXiv:2502.08474): the solution r goes into the consumer as it is, although the consumer sees
normalised channels and needs κ ∘ r; and the square of the constant enters as ‖h‖² on the diagonal:

    r_p = (U_K U_Kᵀ + λ₁ g_p² ‖h_K‖² I + λ₂ diag(κ_p²))⁻¹ (U_K u_p + λ₁ g_p (g_p μ_p − β_p) h_K)

Neuron merging (Kim et al., NeurIPS 2020): removed and kept change places in BatchNorm's ratio.
With s = ‖u_p‖/‖u_k‖ the coefficient is S = s/κ where s κ belongs, the constant that is left is
B = g_k (s h_p − μ_k) + β_k, and the choice is made on raw filters:

    k* = argmin_k  λ (1 − cos(u_p, u_k)) + (1 − λ) minmax_k(|B| / S)       if cos(u_p, u_k*) ≥ t

S is negative where γ changes sign. A removed channel whose coefficients are not finite, because
some γ is zero, is not carried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgeprune.artifacts import BatchNormed, Filters
from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from edgeprune.artifacts import PruningPlan, TracedModel
    from edgeprune.recovery.closed_form.composed_filters import ComposedFilters, Unfolded


def spread(
    filters: ComposedFilters, kept: Tensor, removed: Tensor, constant_weight: float, ridge: float
) -> Tensor:
    """LBYL's coefficients as released.

    Args:
        filters: What the consumer reads, of C channels.
        kept: Indices of kept channels, (K,).
        removed: Indices of removed channels, (R,).
        constant_weight: λ₁.
        ridge: λ₂.

    Returns:
        r, (R, K), float64.

    Raises:
        UsageError: If the channels are not made by one convolution and one BatchNorm.
    """
    made, gain, zero = _unfolded(filters)
    staying, zeros = made.gram[kept][:, kept], zero[kept]
    rows = []
    for p in removed:
        ratio = gain[p] / gain[kept]
        matrix = staying.clone()
        matrix.diagonal().add_(
            constant_weight * gain[p].square() * zeros.square().sum() + ridge * ratio.square()
        )
        constant = constant_weight * gain[p] * (gain[p] * made.mean[p] - made.shift[p])
        target = made.gram[kept, p] + constant * zeros
        rows.append(torch.linalg.solve_ex(matrix, target).result)
    return _finite(torch.stack(rows))


def merge(
    filters: ComposedFilters, kept: Tensor, removed: Tensor, threshold: float, balance: float
) -> Tensor:
    """Neuron merging's coefficients as released, at most one in each row.

    Args:
        filters: What the consumer reads, of C channels.
        kept: Indices of kept channels, (K,).
        removed: Indices of removed channels, (R,).
        threshold: t; 0 merges everything, as the released code has it.
        balance: λ.

    Returns:
        S, (R, K), float64.

    Raises:
        UsageError: If the channels are not made by one convolution and one BatchNorm.
    """
    made, gain, zero = _unfolded(filters)
    norms = made.gram.diagonal().sqrt()
    length = norms[removed][:, None] / norms[kept]
    cosine = made.gram[removed][:, kept] / (norms[removed][:, None] * norms[kept])
    coefficient = length * gain[kept] / gain[removed][:, None]
    left = gain[kept] * (length * zero[removed][:, None] - made.mean[kept]) + made.shift[kept]
    rest = left.abs() / coefficient
    least, most = rest.amin(1, keepdim=True), rest.amax(1, keepdim=True)
    span = torch.where(most > least, most - least, 1.0)
    loss = balance * (1 - cosine) + (1 - balance) * (rest - least) / span
    best = loss.argmin(1, keepdim=True)
    alike = (cosine.gather(1, best) >= threshold) | (threshold == 0)
    merged = torch.where(alike, coefficient.gather(1, best), 0.0)
    return _finite(torch.zeros_like(cosine).scatter(1, best, merged))


def require_unfolded(traced: TracedModel, plan: PruningPlan) -> None:
    """Refuse networks that the released codes do not know.

    Raises:
        UsageError: Names a layer that reads pruned channels made in another way.
    """
    pruned = {entry.group for entry in plan.groups}
    for group in traced.groups:
        if group.name not in pruned:
            continue
        for member in group.having("consumer"):
            reads = member.reads  # None: no redistribution reaches that layer anyway
            made = isinstance(reads, BatchNormed) and isinstance(reads.of, Filters)
            if reads is not None and not made:
                raise UsageError(
                    f"the released codes know only a convolution with its BatchNorm, and not what "
                    f"'{member.layer}' reads; leave out released, or keep '{group.name}' whole"
                )


def _unfolded(filters: ComposedFilters) -> tuple[Unfolded, Tensor, Tensor]:
    """The convolution and the BatchNorm, g and h, (C,) each."""
    made = filters.unfolded
    if made is None:
        raise UsageError("the released codes know only a convolution with its BatchNorm")
    return made, made.scale / made.var, made.mean - made.var * made.shift / made.scale


def _finite(coefficients: Tensor) -> Tensor:
    """Rows with an infinite or undefined entry set to zero, (R, K)."""
    return torch.where(coefficients.isfinite().all(1, keepdim=True), coefficients, 0.0)
