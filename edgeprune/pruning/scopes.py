"""Scopes: from one knob, the share of channels that stay, to the width each group should have.

    local        the same share of every group
    global       the channels that score highest, wherever they are
    marginal     those that score highest for what they cost: a channel that saves twice as many
                 multiply-accumulates must matter twice as much to stay
    sensitivity  what the whole network loses with each group's channels, for what they cost

What a channel costs is read off the figure that the budget asks for, with every other channel in
place; where that counts channels, marginal is global. ``sensitivity`` has no such knob: widths come
from curves (``by_sensitivity.py``); where these cannot be measured, it is marginal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from torch import Tensor

from edgeprune.choices import Choices
from edgeprune.pruning.pricing import CostModel, Floats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeprune.pruning.budgets import Budget

AT_ONCE = 256
"""So many assignments of widths are priced at a time, to save memory."""

Wanted: TypeAlias = Callable[[float], Floats]
"""From the share of channels that stay to widths (G,), not yet rounded."""

Scoping: TypeAlias = Callable[[CostModel, Mapping[str, Tensor], "Budget", float], Wanted]
"""From costs, scores, the budget and the cap of :class:`Allocation` to widths by share."""


def alike(model: CostModel, scores: Mapping[str, Tensor], budget: Budget, cap: float) -> Wanted:
    """The same share of every group stays."""
    return lambda share: share * model.full


def by_score(model: CostModel, scores: Mapping[str, Tensor], budget: Budget, cap: float) -> Wanted:
    """The most important channels of all groups stay."""
    return _competing(model, [scores[group.name].numpy() for group in model.groups], cap)


def by_price(model: CostModel, scores: Mapping[str, Tensor], budget: Budget, cap: float) -> Wanted:
    """The channels that matter most for what they cost stay."""
    saved = savings(model, budget)
    pairs = zip(model.groups, saved, strict=True)
    return _competing(model, [scores[group.name].numpy() / each for group, each in pairs], cap)


def savings(model: CostModel, budget: Budget) -> Floats:
    """What the first channel to leave each group saves, as a share of the budget's figure.

    Args:
        model: Costs by width.
        budget: Names the figure.

    Returns:
        (G,), positive.
    """
    full = model.original(budget.quantity)
    rows = np.array_split(np.arange(len(model.groups)), len(model.groups) // AT_ONCE + 1)
    one_less = np.concatenate([model.at(budget.quantity, _one_less(model, each)) for each in rows])
    return np.maximum((full - one_less) / full, np.finfo(np.float64).tiny)


def _one_less(model: CostModel, groups: NDArray[np.intp]) -> Floats:
    """Full widths but for one channel of one group, for each of ``groups`` in turn, (N, G)."""
    widths = np.tile(model.full, (len(groups), 1))
    widths[np.arange(len(groups)), groups] -= 1
    return widths


def _competing(model: CostModel, pooled: list[Floats], cap: float) -> Wanted:
    """The highest of all scores stay.

    Of equally important channels each group loses the same share, or ties would make a cliff.
    """
    places = [(-score).argsort(kind="stable").argsort() / len(score) for score in pooled]
    owners = np.repeat(np.arange(len(pooled)), [len(score) for score in pooled])
    order = owners[np.lexsort((np.concatenate(places), -np.concatenate(pooled)))]

    def wanted(share: float) -> Floats:
        stay = order[: round(share * len(order))]
        counts = np.bincount(stay, minlength=len(pooled))
        return np.maximum(counts, (1 - cap * (1 - share)) * model.full)

    return wanted


SCOPES: Choices[Scoping] = Choices(
    "scope",
    {"local": alike, "global": by_score, "marginal": by_price, "sensitivity": by_price},
)
