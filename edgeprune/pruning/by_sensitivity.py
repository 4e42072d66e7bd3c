"""Allocation by sensitivity: curves, half of the cuts, curves again, the other half.

Once half of a budget is spent a network minds other cuts than at first, so curves are measured anew
on what is left; channels that are gone by then stay gone. Curves of single groups do not tell all:
in the end the whole choice is measured against those of marginal scope, and the best one stays.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgeprune.artifacts import KeptChannels, Sensitivity, part_of
from edgeprune.pruning.allocation import allocate
from edgeprune.pruning.closing import widths_at
from edgeprune.pruning.ranking import highest
from edgeprune.pruning.spending import spend

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from edgeprune.artifacts import Progress, SensitivityCurve
    from edgeprune.pruning.allocation import Allocated, Allocation
    from edgeprune.pruning.budgets import Budget
    from edgeprune.pruning.pricing import CostModel
    from edgeprune.pruning.sensitivity import Curves, Ranking


def allocate_by_sensitivity(
    model: CostModel,
    curves: Curves,
    rankings: Sequence[Ranking],
    budget: Budget,
    options: Allocation,
    progress: Progress | None = None,
) -> Allocated:
    """Choose the channels that stay by what the network loses without the others.

    Args:
        model: Costs by width.
        curves: Measures curves.
        rankings: Rankings of channels; of each group the one is taken that costs least.
        budget: What to reach.
        options: The widths that groups may have.
        progress: Callback for the share done.

    Returns:
        The channels that stay, with the curves of the whole network.

    Raises:
        ModelUnsupported: If no group may lose a channel.
        BudgetUnreachable: Names the nearest that can be reached.
    """
    first = curves.measured(
        {group.name: rankings for group in model.groups}, {}, part_of(progress, 0, 2)
    )
    by_name = {ranking.criterion: ranking for ranking in rankings}
    chosen = {name: by_name[curve.criterion] for name, curve in first.items()}
    scores = {name: ranking.scores[name] for name, ranking in chosen.items()}
    half = _half_cut(model, first, budget, options, scores)
    alone = {name: (ranking,) for name, ranking in chosen.items()}
    second = curves.measured(alone, half, part_of(progress, 1, 2))
    allocated = allocate(model, scores, budget, options, second)
    others = [allocate(model, ranking.scores, budget, options) for ranking in rankings]
    allocated = min(
        (each for each in (allocated, *others) if each.on_target or not allocated.on_target),
        key=lambda each: curves.error_of({entry.group: entry for entry in each.groups}),
    )
    found = Sensitivity(tuple(first.values()), curves.images, curves.origin)
    return replace(allocated, sensitivity=found)


def _half_cut(
    model: CostModel,
    curves: Mapping[str, SensitivityCurve],
    budget: Budget,
    options: Allocation,
    scores: Mapping[str, Tensor],
) -> dict[str, KeptChannels]:
    """What stays of the groups that lose channels before half of the budget is spent."""
    halfway = (model.original(budget.quantity) + budget.asked(model)) / 2
    options = replace(options, unit=options.unit or options.block)  # the coarsest that may come
    candidates = [options.widths(group) for group in model.groups]
    indices = spend(model, (budget.quantity, halfway), candidates, curves)
    return {
        group.name: KeptChannels(
            group.name, group.width, highest(scores[group.name], group, int(width))
        )
        for group, width in zip(model.groups, widths_at(candidates, indices), strict=True)
        if width < group.width
    }
