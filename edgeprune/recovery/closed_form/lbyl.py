"""LBYL: every kept filter helps to carry a removed one.

The removed filter is written as a combination of all kept ones by ridge regression, with two
further terms for what BatchNorm and the activation leave over (arXiv:2502.08474, the closed form
of its loss). For removed channel p and kept channels K the loss over raw filters u is

    J(r) = ‖u_p − U_Kᵀ r‖² + λ₁ b_p(r)² + λ₂ ‖κ_p ∘ r‖²

with κ_pk = g_p/g_k and the coefficients redistributed S = κ_p ∘ r. In terms of BatchNorm-folded
filters ũ = g u and constants c the same loss, times g_p², needs no division by g_k:

    ‖ũ_p − Ũ_Kᵀ S‖² + g_p² (λ₁ (c_p − S c_K)² + λ₂ ‖S‖²)

Its matrix Ũ_KŨ_Kᵀ + g_p²(λ₂ I + λ₁ c cᵀ) differs between removed channels by a multiple of one
fixed diagonal-plus-rank-one term. One eigendecomposition and the Sherman–Morrison formula
therefore solve all removed channels at once, exactly: the solution without λ₁, plus what the
constant it leaves over is worth.

The paper tunes λ₁ and λ₂ for each network and ratio, as far as one can tell on test accuracy. Here
a rule takes the place of labelled data: of a grid that spans the paper's tables, each consumer
takes the pair that leaves the least error in its outputs, as predicted from BatchNorm's statistics
(``moments/propagation.py``),

    Σ_p ‖V_p‖² E|a_p − S_p a_K|²

with the consumer's weights V_p on channel p (their squared norm is the consumer norm) and the
uncentred second moments of the channels a behind their activations: uncentred, because LBYL changes
no bias. Both λ enter behind the eigendecomposition, so that the whole grid costs one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgeprune.recovery.closed_form.redistribution import recovered
from edgeprune.recovery.closed_form.released_code import require_unfolded, spread
from edgeprune.recovery.context import RecoveryContext
from edgeprune.recovery.method import RecoveryMethod

if TYPE_CHECKING:
    from edgeprune.artifacts import PrunedModel, TracedModel
    from edgeprune.moments.propagation import Moments
    from edgeprune.recovery.closed_form.composed_filters import ComposedFilters

CONSTANT_WEIGHTS: tuple[float, ...] = (1e-5, 1e-6, 1e-4, 1e-3)
RIDGES: tuple[float, ...] = (1e-3, 1e-4, 1e-2, 1e-1)
"""The grid of the rule; the paper's most usual values come first, and are taken without a rule."""


@dataclass(frozen=True, slots=True)
class Lbyl(RecoveryMethod):
    """Redistribute each removed channel over all kept ones.

    Attributes:
        constant_weight: λ₁, weight of the constant that BatchNorm leaves over; larger: the
            constant fits better, the filter worse. The paper's values lie around 1e-5. None: by
            the rule above; 1e-5 where nothing is known of what a consumer reads.
        ridge: λ₂, weight of the coefficients' size, which bounds what the activation leaves over;
            larger: smaller, more evenly spread coefficients. The paper's lie around 1e-3. None:
            by the rule above, or 1e-3.
        released: Compute what the authors' code computes instead, to compare with published
            figures: σ is the running variance, λ₁ weighs ‖h‖² on the diagonal where h hᵀ belongs,
            and coefficients r are taken without BatchNorm's ratio κ (see ``released_code.py``).
            Only for networks in which every pruned layer is a convolution with its BatchNorm; λ
            that are not given are 1e-5 and 1e-3.
    """

    constant_weight: float | None = None
    ridge: float | None = None
    released: bool = False

    def __call__(
        self,
        traced: TracedModel,
        pruned: PrunedModel,
        context: RecoveryContext = RecoveryContext(),  # noqa: B008 - frozen
    ) -> PrunedModel:
        """Recover a pruned network, as :class:`edgeprune.recovery.method.RecoveryMethod` says.

        Raises:
            UsageError: If ``released`` is asked for and a pruned layer is of another kind.
        """
        if not self.released:
            by_rule = self.constant_weight is None or self.ridge is None
            return recovered(
                "lbyl", self.mixing, traced, pruned, context.progress, with_moments=by_rule
            )
        require_unfolded(traced, pruned.plan)
        return recovered("lbyl-released", self.mixing, traced, pruned, context.progress)

    def mixing(self, filters: ComposedFilters, kept: Tensor, removed: Tensor) -> Tensor:
        """Coefficients that minimise the loss above.

        Where no BatchNorm lies on the path the constant is the layer's bias, which counts as one
        more coordinate of the filter (λ₁ = 1 with g = 1).

        Args:
            filters: What the consumer reads, of C channels.
            kept: Indices of kept channels, (K,).
            removed: Indices of removed channels, (R,).

        Returns:
            S, (R, K), float64.

        Raises:
            UsageError: If ``released`` is asked for and the filters are of another kind.
        """
        constant_weights, ridges = self._candidates(filters)
        if self.released:
            return spread(filters, kept, removed, constant_weights[0], ridges[0])
        equations = _Equations.of(filters, kept, removed)
        best = constant_weights[0], ridges[0]
        if filters.moments is not None and filters.consumer_norm is not None:
            error = _Error.of(filters.moments, filters.consumer_norm, kept, removed).turned(
                equations.basis
            )
            pairs = product(constant_weights, ridges)
            best = min(pairs, key=lambda pair: error(equations.solution(*pair)))
        return (equations.basis @ equations.solution(*best)).T

    def _candidates(self, filters: ComposedFilters) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Values of λ₁ and of λ₂ to choose from, the usual ones first."""
        constant_weights = CONSTANT_WEIGHTS
        if not filters.normed:
            constant_weights = (1.0,)
        elif self.constant_weight is not None:
            constant_weights = (self.constant_weight,)
        return constant_weights, RIDGES if self.ridge is None else (self.ridge,)


@dataclass(frozen=True, slots=True)
class _Equations:
    """The normal equations of the loss, in the eigenbasis of Ũ_KŨ_Kᵀ; float64.

    Attributes:
        eigenvalues: (K,).
        basis: Eigenvectors as columns, (K, K).
        target: Ũ_KŨ_Rᵀ in that basis, (K, R).
        constants: c_K in that basis, (K,).
        wanted: c_R, (R,).
        gain: g² of the removed channels, (R,).
    """

    eigenvalues: Tensor
    basis: Tensor
    target: Tensor
    constants: Tensor
    wanted: Tensor
    gain: Tensor

    @classmethod
    def of(cls, filters: ComposedFilters, kept: Tensor, removed: Tensor) -> _Equations:
        """The equations of some removed channels."""
        eigenvalues, basis = torch.linalg.eigh(filters.gram[kept][:, kept])
        target, constants = (
            basis.T @ filters.gram[kept][:, removed],
            basis.T @ filters.constant[kept],
        )
        wanted, gain = filters.constant[removed], filters.gain[removed]
        return cls(eigenvalues, basis, target, constants, wanted, gain)

    def solution(self, constant_weight: float, ridge: float) -> Tensor:
        """Sᵀ in the basis, (K, R)."""
        top = self.eigenvalues[-1]
        floor = 1e-12 * top if top > 0 else top.new_ones(())
        ridges = (ridge * self.gain).clamp_min(floor)
        inverse = 1 / (self.eigenvalues[:, None].clamp_min(0) + ridges)
        straight, direction = inverse * self.target, inverse * self.constants[:, None]
        weight = constant_weight * self.gain
        left = self.wanted - self.constants @ straight
        return straight + direction * (weight * left / (1 + weight * (self.constants @ direction)))


@dataclass(frozen=True, slots=True)
class _Error:
    """The error of a consumer's outputs, predicted from Sᵀ, (K, R).

    Attributes:
        consumer_norm: ‖V_p‖², (R,).
        power: E a_p², (R,).
        shared: E a_K a_R, (K, R).
        second: E a_K a_Kᵀ, (K, K).
    """

    consumer_norm: Tensor
    power: Tensor
    shared: Tensor
    second: Tensor

    @classmethod
    def of(cls, moments: Moments, consumer_norm: Tensor, kept: Tensor, removed: Tensor) -> _Error:
        """The error from mean and covariance of all channels."""
        second = moments.cov + torch.outer(moments.mean, moments.mean)
        shared, among_kept = second[kept][:, removed], second[kept][:, kept]
        return cls(consumer_norm[removed], second.diagonal()[removed], shared, among_kept)

    def turned(self, basis: Tensor) -> _Error:
        """The same error for coefficients in another basis of the kept channels, (K, K)."""
        second = basis.T @ self.second @ basis
        return _Error(self.consumer_norm, self.power, basis.T @ self.shared, second)

    def __call__(self, coefficients: Tensor) -> float:
        spent = coefficients * (self.second @ coefficients - 2 * self.shared)
        return float(self.consumer_norm @ (self.power + spent.sum(0)))
