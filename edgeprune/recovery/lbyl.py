"""LBYL: every kept filter helps to carry a removed one.

The removed filter is written as a combination of all kept ones by ridge
regression, with two further terms for what BatchNorm and the activation leave over
(arXiv:2502.08474, the closed form of its loss). For removed channel p and kept channels K the
loss over raw filters u is

    J(r) = ‖u_p − U_Kᵀ r‖² + λ₁ b_p(r)² + λ₂ ‖κ_p ∘ r‖²

with κ_pk = g_p/g_k and the coefficients delivered S = κ_p ∘ r. In terms of BatchNorm-folded
filters ũ = g u and constants c the same loss, times g_p², needs no division by g_k:

    ‖ũ_p − Ũ_Kᵀ S‖² + g_p² (λ₁ (c_p − S c_K)² + λ₂ ‖S‖²)

Its matrix Ũ_KŨ_Kᵀ + g_p²(λ₂ I + λ₁ c cᵀ) differs between removed channels by a multiple of one
fixed diagonal-plus-rank-one term. One eigendecomposition and the Sherman–Morrison formula
therefore solve all removed channels at once, exactly: the solution without λ₁, plus what the
constant it leaves over is worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgeprune.recovery.delivery import recovered
from edgeprune.recovery.released import require_unfolded, spread

if TYPE_CHECKING:
    from edgeprune.artifacts import Progress, PrunedModel, TracedModel
    from edgeprune.recovery.streams import Stream


@dataclass(frozen=True, slots=True)
class Lbyl:
    """Deliver each removed channel to all kept ones.

    Attributes:
        constant_weight: λ₁, weight of the constant that BatchNorm leaves over; larger: the
            constant fits better, the filter worse. The paper's values lie around 1e-5.
        ridge: λ₂, weight of the coefficients' size, which bounds what the activation leaves over;
            larger: smaller, more evenly spread coefficients. The paper's lie around 1e-3.
        released: Compute what the authors' code computes instead, to compare with published
            figures: σ is the running variance, λ₁ weighs ‖h‖² on the diagonal where h hᵀ belongs,
            and coefficients r are delivered without BatchNorm's ratio κ (see ``released.py``).
            Only for networks in which every pruned layer is a convolution with its BatchNorm.
    """

    constant_weight: float = 1e-5
    ridge: float = 1e-3
    released: bool = False

    def __call__(
        self, traced: TracedModel, pruned: PrunedModel, progress: Progress | None = None
    ) -> PrunedModel:
        """As :class:`edgeprune.recovery.RecoveryMethod` says.

        Raises:
            UsageError: If ``released`` is asked for and a pruned layer is of another kind.
        """
        if not self.released:
            return recovered("lbyl", self.mixing, traced, pruned, progress)
        require_unfolded(traced, pruned.plan)
        return recovered("lbyl-released", self.mixing, traced, pruned, progress)

    def mixing(self, stream: Stream, kept: Tensor, removed: Tensor) -> Tensor:
        """Coefficients that minimise the loss above.

        Where no BatchNorm lies on the way the constant is the layer's bias, which counts as one
        more coordinate of the filter (λ₁ = 1 with g = 1).

        Args:
            stream: What the reader reads, of C channels.
            kept: Indices of kept channels, (K,).
            removed: Indices of removed channels, (R,).

        Returns:
            S, (R, K), float64.

        Raises:
            UsageError: If ``released`` is asked for and the stream is of another kind.
        """
        if self.released:
            return spread(stream, kept, removed, self.constant_weight, self.ridge)
        constant_weight = self.constant_weight if stream.normed else 1.0
        gain = stream.gain[removed]
        constants, wanted = stream.constant[kept], stream.constant[removed]
        eigenvalues, basis = torch.linalg.eigh(stream.gram[kept][:, kept])
        floor = 1e-12 * eigenvalues[-1] if eigenvalues[-1] > 0 else eigenvalues.new_ones(())
        inverse = 1 / (eigenvalues[:, None].clamp_min(0) + (self.ridge * gain).clamp_min(floor))

        def solved(rhs: Tensor) -> Tensor:  # (K, R) or (K, 1) → (K, R)
            solution: Tensor = basis @ (inverse * (basis.T @ rhs))
            return solution

        straight = solved(stream.gram[kept][:, removed])
        direction = solved(constants[:, None])
        weight = constant_weight * gain
        bend = weight * (wanted - constants @ straight) / (1 + weight * (constants @ direction))
        return (straight + direction * bend).T
