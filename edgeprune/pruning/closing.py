"""Closing the gap that rounding leaves between a budget and what is reached.

The knob of ``allocation.py`` steps every group to the next width that it may have; small networks
take few such steps, and in uniform ones all groups step at once. So single groups step by
themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from edgeprune.pruning.pricing import CostModel, Floats

if TYPE_CHECKING:
    from edgeprune.pruning.budgets import Budget

CandidateWidths: TypeAlias = Sequence[Floats]
"""The widths that each group may have, ascending."""

WidthIndices: TypeAlias = tuple[int, ...]
"""For each group which of its widths it takes."""

AIM = 0.005
"""Steps stop within this share of the original: every further one leaves the scores' choice."""

MANY = 200
"""With more groups than this each is a small part of the network."""

FEW = 10_000
"""Up to so many assignments of widths are all tried."""


def close_gap(
    model: CostModel, budget: Budget, candidates: CandidateWidths, indices: WidthIndices
) -> WidthIndices:
    """Step one or two groups up or down by an index while that brings the budget closer.

    On a small network such steps are too coarse to get everywhere, but all widths can be tried.
    """
    if prod(map(len, candidates)) <= FEW:
        return _closest_of_all(model, budget, candidates, indices)
    asked, original = budget.asked(model), model.original(budget.quantity)
    start = indices
    for _ in range(2 * len(candidates)):
        error = abs(float(model.at(budget.quantity, widths_at(candidates, indices))) - asked)
        if error <= AIM * original:
            break
        neighbours = _neighbours(candidates, indices, start)
        if not neighbours:
            break
        rows = np.stack([widths_at(candidates, each) for each in neighbours])
        reached = model.at(budget.quantity, rows)
        best = int(np.abs(reached - asked).argmin())
        if abs(float(reached[best]) - asked) >= error:
            break
        indices = neighbours[best]
    return indices


def _closest_of_all(
    model: CostModel, budget: Budget, candidates: CandidateWidths, indices: WidthIndices
) -> WidthIndices:
    """The assignment most like ``indices`` among those that come as close to the budget as any."""
    asked, original = budget.asked(model), model.original(budget.quantity)
    every = np.stack(np.meshgrid(*candidates, indexing="ij"), axis=-1)
    errors = np.abs(model.at(budget.quantity, every) - asked)
    close = errors <= max(float(errors.min()), AIM * original)
    change = (np.abs(every - widths_at(candidates, indices)) / model.full).sum(axis=-1)
    best = np.unravel_index(np.where(close, change, np.inf).argmin(), close.shape)
    return tuple(int(index) for index in best)


def _neighbours(
    candidates: CandidateWidths, indices: WidthIndices, start: WidthIndices
) -> list[WidthIndices]:
    """Every assignment one index away in one group or in two, at most one index from ``start``.

    Where there are many groups, one at a time is fine enough, and pairs are too many to try.
    """
    steps = [
        (place, step)
        for place, index in enumerate(indices)
        for step in (index - 1, index + 1)
        if 0 <= step < len(candidates[place]) and abs(step - start[place]) <= 1
    ]
    single = [_replaced(indices, (step,)) for step in steps]
    if len(candidates) > MANY:
        return single
    pairs = (pair for pair in product(steps, steps) if pair[0][0] < pair[1][0])
    return single + [_replaced(indices, pair) for pair in pairs]


def _replaced(indices: WidthIndices, changes: Sequence[tuple[int, int]]) -> WidthIndices:
    changed = list(indices)
    for place, index in changes:
        changed[place] = index
    return tuple(changed)


def between(
    model: CostModel,
    budget: Budget,
    candidates: CandidateWidths,
    below: WidthIndices,
    above: WidthIndices,
) -> WidthIndices:
    """Step up only as many groups as the budget asks for, of those that the knob steps together.

    Args:
        model: Costs by width.
        budget: What to reach.
        candidates: Widths of each group.
        below: Width indices that fall short of the budget.
        above: The next that the knob knows, beyond it.
    """
    together = [place for place, (b, a) in enumerate(zip(below, above, strict=True)) if b != a]
    asked, errors = budget.asked(model), {}
    low, high = 0, len(together)
    while low <= high:
        middle = (low + high) // 2
        indices = _replaced(below, [(place, above[place]) for place in together[:middle]])
        reached = float(model.at(budget.quantity, widths_at(candidates, indices)))
        errors[abs(reached - asked)] = indices
        low, high = (middle + 1, high) if reached < asked else (low, middle - 1)
    return errors[min(errors)]


def widths_at(candidates: CandidateWidths, indices: WidthIndices) -> Floats:
    """The width of each group, (G,)."""
    return np.array([widths[index] for widths, index in zip(candidates, indices, strict=True)])
