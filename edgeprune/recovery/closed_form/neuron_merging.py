"""Neuron merging: each removed channel is carried by the one kept channel most like it.

Kim et al., "Neuron Merging: Compensating for Pruned Neurons", NeurIPS 2020. With folded filters
ũ and constants c (see ``composed_filters.py``), kept channel k carries removed channel p with
coefficient s = ‖ũ_p‖/‖ũ_k‖ and leaves the constant B = c_p − s c_k. The paper's choice is

    k* = argmin_k  λ (1 − cos(ũ_p, ũ_k)) + (1 − λ) minmax_k(|B| / s)

where minmax rescales to [0, 1] over the kept channels. A removed channel whose k* is no more
alike than a threshold is not compensated, and a kept channel that BatchNorm has silenced carries
nothing: its coefficient would be huge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgeprune.recovery.closed_form.redistribution import recovered
from edgeprune.recovery.closed_form.released_code import merge, require_unfolded
from edgeprune.recovery.context import RecoveryContext
from edgeprune.recovery.method import RecoveryMethod

if TYPE_CHECKING:
    from edgeprune.artifacts import PrunedModel, TracedModel
    from edgeprune.recovery.closed_form.composed_filters import ComposedFilters

SILENT = 1e-4
"""A kept channel is silent whose folded filter is shorter than this share of the median one."""


@dataclass(frozen=True, slots=True)
class NeuronMerging(RecoveryMethod):
    """Merge each removed channel into the kept one most like it.

    Attributes:
        threshold: Least cosine for a merge; higher: fewer, safer merges.
        balance: λ, weight of the angle against the constant left over; 1: the angle alone.
        released: Compute what the authors' code computes instead, to compare with published
            figures: filters are compared without BatchNorm, the coefficient has BatchNorm's ratio
            the wrong way round, σ is the running variance (see ``released_code.py``). Only for
            networks in which every pruned layer is a convolution with its BatchNorm.
    """

    threshold: float = 0.1
    balance: float = 0.85
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
            return recovered("nm", self.mixing, traced, pruned, context.progress)
        require_unfolded(traced, pruned.plan)
        return recovered("nm-released", self.mixing, traced, pruned, context.progress)

    def mixing(self, filters: ComposedFilters, kept: Tensor, removed: Tensor) -> Tensor:
        """Coefficients with at most one entry in each row.

        Args:
            filters: What the consumer reads, of C channels.
            kept: Indices of kept channels, (K,).
            removed: Indices of removed channels, (R,).

        Returns:
            S, (R, K), float64.

        Raises:
            UsageError: If ``released`` is asked for and the filters are of another kind.
        """
        if self.released:
            return merge(filters, kept, removed, self.threshold, self.balance)
        gram = filters.gram
        if not filters.normed:  # the bias is one more coordinate of the filter
            gram = gram + filters.constant[:, None] * filters.constant[None, :]
        tiny = torch.finfo(gram.dtype).tiny
        norms = gram.diagonal().clamp_min(tiny).sqrt()
        able = (norms[kept] >= SILENT * norms[kept].median()).nonzero().flatten()
        able_kept = kept[able]
        cosine = gram[removed][:, able_kept] / (norms[removed][:, None] * norms[able_kept])
        scale = norms[removed][:, None] / norms[able_kept]
        constant = filters.constant
        rest = (constant[removed][:, None] - scale * constant[able_kept]).abs() / scale
        least, most = rest.amin(1, keepdim=True), rest.amax(1, keepdim=True)
        rescaled = (rest - least) / (most - least).clamp_min(tiny)
        balance = self.balance if filters.normed else 1.0
        best = (balance * (1 - cosine) + (1 - balance) * rescaled).argmin(1, keepdim=True)
        alike = cosine.gather(1, best) >= self.threshold
        merged = torch.where(alike, scale.gather(1, best), 0.0)
        return gram.new_zeros(len(removed), len(kept)).scatter(1, able[best], merged)
