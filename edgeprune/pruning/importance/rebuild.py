"""Rebuild: a channel matters as much as its consumers lose that the other channels cannot rebuild.

For a layer with weight V that reads channels of covariance C, let H = C + λ̄ I. If channel p goes
and the weights of the others are changed as well as they can be, the layer's output still misses

    Σ_o v_op R v_opᵀ / [H⁻¹]_pp        for the weights  V − V_p [H⁻¹]_p / [H⁻¹]_pp,

and H⁻¹ loses a row and a column: H⁻¹ − [H⁻¹]_pᵀ [H⁻¹]_p / [H⁻¹]_pp. This is the Optimal Brain
Surgeon (Hassibi & Stork, NIPS 1992) on a layer's least-squares problem (OBC, Frantar & Alistarh,
arXiv:2208.11580), on whole channels, with C in closed form instead of from images. The channel
that costs all consumers least goes, again and again, until none is left; a channel's score is the
highest cost up to its turn, so that those that stay are always those of the highest scores.

Where several partitions are cut alike, all channels S at a position go at once, at the exact cost
Σ_o V_oS ([H⁻¹]_SS)⁻¹ V_oSᵀ; each scores its part of it. Costs are shares of a consumer's variance,
as ``consumers.py`` says, so scores of different groups compare as they are.

The weights v need not be kept: all that costs ask for is G = Σ_o v_o R v_oᵀ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgeprune.pruning.importance.consumers import Consumer, consumers_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune.artifacts import TracedModel

TOGETHER = 64
"""Number of positions that go before the matrices of those that stay are brought up to date."""

TIE = 1e-9
"""Share of the highest cost by which scores of equal cost differ, to tell who went first."""


@dataclass(frozen=True, slots=True)
class Rebuild:
    """What the consumers of a channel lose with it, once the other channels make up for it.

    Where what a layer reads is unknown, its channels count as uncorrelated and equally strong: the
    squared L2 norm of the weights that read each. Where no layer reads them, that of the weights
    that make each.

    Attributes:
        ridge: λ, added to the covariance as a share of its mean variance. Larger: less is
            expected of the other channels, down to the norm of the weights that read each.
    """

    ridge: float = 1e-3

    @torch.no_grad()
    def __call__(self, traced: TracedModel, generator: torch.Generator) -> dict[str, Tensor]:
        """Score as :class:`edgeprune.pruning.importance.criterion.Criterion` says."""
        return {
            group.name: scores(*eliminate(consumers), group.partitions)
            for group, consumers in consumers_of(traced, self.ridge)
        }


def eliminate(consumers: Sequence[Consumer]) -> tuple[Tensor, Tensor]:
    """Remove position after position, the one that costs least first.

    Args:
        consumers: Consumers of one group; at least one, all with the same P positions.

    Returns:
        The positions in the order in which they go, (P,), and what each costs, (P,).
    """
    left = torch.arange(len(consumers[0].columns))
    order, paid = [left[:0]], []
    while len(left):
        removals = [Removal(consumer, min(TOGETHER, len(left))) for consumer in consumers]
        gone = torch.zeros(len(left), dtype=torch.bool)
        while not gone.all() and int(gone.sum()) < TOGETHER:
            each = torch.stack([removal.costs() for removal in removals]).sum(0)
            each[gone] = torch.inf
            cheapest = int(each.argmin())
            gone[cheapest] = True
            order.append(left[cheapest : cheapest + 1])
            paid.append(float(each[cheapest]))
            for removal in removals:
                removal.take(cheapest)
        consumers = [removal.without(gone) for removal in removals]
        left = left[~gone]
    return torch.cat(order), torch.tensor(paid, dtype=torch.float64)


class Removal:
    """A consumer from which some positions go.

    V becomes V − V_S A with A = ([H⁻¹]_SS)⁻¹ [H⁻¹]_S, so G becomes G − AᵀB − BᵀA with
    B = G_S − ½ G_SS A, and H⁻¹ becomes H⁻¹ − [H⁻¹]_Sᵀ A. These are put off: of the whole matrices
    only the rows of what goes are needed at once, and the submatrices that costs depend on.

    Args:
        consumer: Consumer of P positions with k columns each.
        count: Most positions that will go.
    """

    def __init__(self, consumer: Consumer, count: int) -> None:
        self._consumer = consumer
        rows, columns = consumer.columns[:, :, None], consumer.columns[:, None, :]
        self._own_inverse = consumer.inverse[rows, columns]  # of each position, (P, k, k)
        self._own_gram = consumer.gram[rows, columns]
        size = count * consumer.columns.shape[1]
        self._rows, self._shares, self._halves = consumer.gram.new_empty(
            3, size, len(consumer.gram)
        )
        self._done = 0

    def costs(self) -> Tensor:
        """What the consumer loses with each position, (P,): tr G_SS ([H⁻¹]_SS)⁻¹."""
        if self._own_inverse.shape[1] == 1:
            lost = self._own_gram / self._own_inverse
        else:
            lost = torch.linalg.solve(self._own_inverse, self._own_gram)
        return lost.diagonal(dim1=1, dim2=2).sum(1).clamp_min(0)

    def take(self, position: int) -> None:
        """Remove one position, and let the others make up for it."""
        went, done = self._consumer.columns[position], self._done
        rows, shares, halves = self._rows[:done], self._shares[:done], self._halves[:done]
        row = self._consumer.inverse[went] - rows[:, went].T @ shares
        gram = self._consumer.gram[went] - shares[:, went].T @ halves - halves[:, went].T @ shares
        share = torch.linalg.solve(row[:, went], row)
        half = gram - gram[:, went] @ share / 2
        self._done += len(went)
        for stack, new in ((self._rows, row), (self._shares, share), (self._halves, half)):
            stack[done : self._done] = new
        ours = (each[:, self._consumer.columns] for each in (row, share, half))  # (k, P, k) each
        row, share, half = ours
        crossed = torch.einsum("spa,spb->pab", share, half)
        self._own_inverse -= torch.einsum("spa,spb->pab", row, share)
        self._own_gram -= crossed + crossed.mT
        self._own_inverse[position] = torch.eye(len(went)).to(row)
        self._own_gram[position] = 0

    def without(self, gone: Tensor) -> Consumer:
        """The consumer of what is left.

        Args:
            gone: Whether each position went, (P,).
        """
        rows, shares, halves = (
            each[: self._done] for each in (self._rows, self._shares, self._halves)
        )
        crossed = shares.T @ halves
        stays = torch.ones(len(crossed), dtype=torch.bool)
        stays[self._consumer.columns[gone].flatten()] = False
        gram = (self._consumer.gram - crossed - crossed.T)[stays][:, stays]
        inverse = (self._consumer.inverse - rows.T @ shares)[stays][:, stays]
        columns = (stays.cumsum(0) - 1)[self._consumer.columns[~gone]]
        return Consumer(gram, inverse, columns)


def scores(order: Tensor, paid: Tensor, partitions: int) -> Tensor:
    """Scores that keep those that went last.

    Args:
        order: Positions in the order in which they went, (P,).
        paid: What each cost, (P,).
        partitions: Number of channels at each position.

    Returns:
        Scores of the channels, (P · partitions,).
    """
    highest = paid.cummax(0).values
    highest = highest + highest[-1] * TIE * torch.linspace(0, 1, len(paid)).double()
    return torch.empty_like(paid).scatter_(0, order, highest / partitions).repeat(partitions)
