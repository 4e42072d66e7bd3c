"""Importance + budget → PruningPlan: how wide every group becomes, and which channels stay.

Widths follow curves of what the network loses, where these are known (``spending.py``). Else they
follow one knob, the share of channels that stay, of every group alike or of all channels together
(``scopes.py``). The knob is turned until the budget is met; widths are rounded to what
runtimes like, to the nearest multiple and never to nothing; small steps then close the gap that
rounding left.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from math import lcm
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from edgeprune import units
from edgeprune.artifacts import ChannelGroup, KeptChannels, Sensitivity, SensitivityCurve
from edgeprune.errors import BudgetUnreachable, ModelUnsupported, UsageError
from edgeprune.pruning.closing import (
    AIM,
    MANY,
    CandidateWidths,
    WidthIndices,
    between,
    close_gap,
    widths_at,
)
from edgeprune.pruning.ranking import highest
from edgeprune.pruning.scopes import SCOPES
from edgeprune.pruning.spending import spend

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from edgeprune.pruning.budgets import Budget
    from edgeprune.pruning.pricing import CostModel, Floats

Scope: TypeAlias = Literal["local", "global", "marginal", "sensitivity"]
Curves: TypeAlias = "Mapping[str, SensitivityCurve]"
"""Curves by group."""

CLOSE_ENOUGH = 0.01
"""A budget counts as met within this share of the original."""

AUTOMATIC = 8
"""Multiple that wide groups take where nothing else is asked for."""

FINER_UNITS = (8, 4, 2, 1)
"""Multiples that are tried, the coarsest first, where a budget is missed."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """How a budget is spread over groups.

    Attributes:
        scope: ``local`` removes the same share of every group; ``global`` lets all channels
            compete, so that unimportant groups lose more; ``marginal`` lets them compete by
            importance for what they cost, so that expensive groups lose more; ``sensitivity``
            narrows the groups that the whole network misses least for what they cost.
        unit: Remaining widths are multiples of it; 0 chooses by width (8 from 32 channels on,
            4 from 16 on, else 2), which is what vectorised kernels like.
        block: Channels that kernels compute at once: with an automatic ``unit``, widths are
            multiples of it where these meet the budget; else of half of it where a group is
            narrower than 32 channels, of a quarter below 16; else what ``unit`` says. 0: none.
            Larger: faster for the cost that remains, and a coarser choice.
        floor: Least share of any group that stays: higher protects narrow layers, and puts
            small budgets out of reach.
        cap: Where channels compete by importance, no group loses more than so many times the
            share that all channels lose: 1 is local scope, larger lets groups differ more.
    """

    scope: Scope = "marginal"
    unit: int = 0
    floor: float = 0.1
    cap: float = 2.0
    block: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that cannot be meant.

        Raises:
            UsageError: Names the setting.
        """
        if self.scope not in SCOPES:
            raise UsageError(f"--scope {self.scope}: choose {', '.join(SCOPES)}")
        if self.unit < 0:
            raise UsageError(f"--unit {self.unit}: expected auto or a positive number")
        if self.block < 0:
            raise UsageError(f"block={self.block}: expected a number of channels, or 0 for none")

    def step(self, group: ChannelGroup) -> int:
        """Number of channels by which a group grows or shrinks."""
        share = 1 if group.width >= 32 else 2 if group.width >= 16 else 4
        automatic = max(1, (self.block or AUTOMATIC) // share)
        return lcm(self.unit or automatic, group.partitions)

    def widths(self, group: ChannelGroup) -> Floats:
        """The widths a group may have, ascending; its own is always the last."""
        step = self.step(group)
        least = max(step, self.floor * group.width)
        multiples = np.arange(step, group.width, step, dtype=np.float64)
        return np.append(multiples[multiples >= least], group.width)

    def narrowest(self, groups: Sequence[ChannelGroup]) -> Floats:
        """The least width of every group, (G,)."""
        return np.array([self.widths(group)[0] for group in groups], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Allocated:
    """Which channels stay, and how close to the budget that is.

    Attributes:
        groups: One entry for each group that loses channels.
        kind: Kind of the budget, a row of ``BUDGETS``.
        asked: The budget, as a share of the original.
        reached: The same figure for these widths.
        finer_unit: Largest unit with which the budget would be met; None where it is met, or
            would not be with any.
        sensitivity: The curves that widths were chosen by; None where there are none.
    """

    groups: tuple[KeptChannels, ...]
    kind: str
    asked: float
    reached: float
    finer_unit: int | None = None
    sensitivity: Sensitivity | None = None

    @property
    def on_target(self) -> bool:
        """Whether asked and reached differ by at most 1 % of the original."""
        return abs(self.reached - self.asked) <= CLOSE_ENOUGH


def allocate(
    model: CostModel,
    scores: Mapping[str, Tensor],
    budget: Budget,
    options: Allocation,
    curves: Curves | None = None,
) -> Allocated:
    """Choose the channels that stay.

    Args:
        model: Costs by width.
        scores: Importance of the channels of each group of ``model``, (C,) each.
        budget: What to reach.
        options: How to spread it.
        curves: What the network loses at which width of each group; None: the scope decides.

    Returns:
        The channels that stay in each group that loses some.

    Raises:
        ModelUnsupported: If no group may lose a channel.
        BudgetUnreachable: If even the narrowest widths allowed are too wide; names the nearest
            that can be reached.
    """
    in_blocks = (replace(options, unit=options.block), options)
    for blocks in in_blocks if options.block and not options.unit else ():
        with suppress(BudgetUnreachable):
            allocated = _allocated(model, scores, budget, blocks, curves)
            if allocated.on_target:
                return allocated
    options = replace(options, block=0)
    allocated = _allocated(model, scores, budget, options, curves)
    if allocated.on_target:
        return allocated
    return replace(allocated, finer_unit=_finer_unit(model, scores, budget, options))


def _finer_unit(
    model: CostModel, scores: Mapping[str, Tensor], budget: Budget, options: Allocation
) -> int | None:
    """The largest unit, below what is used, with which the budget would be met."""
    coarsest = max(map(options.step, model.groups))
    for unit in (unit for unit in FINER_UNITS if unit < coarsest):
        if _allocated(model, scores, budget, replace(options, unit=unit)).on_target:
            return unit
    return None


def require_reachable(model: CostModel, budget: Budget, options: Allocation) -> None:
    """Refuse a budget that no widths come near.

    Raises:
        ModelUnsupported: If no group may lose a channel.
        BudgetUnreachable: Names the nearest that can be reached.
    """
    if not model.groups:
        raise ModelUnsupported("nothing can be pruned: every channel group is locked")
    asked, original = budget.asked(model), model.original(budget.quantity)
    least = float(model.at(budget.quantity, options.narrowest(model.groups)))
    nearest = min(max(asked, least), original)
    if abs(asked - nearest) > CLOSE_ENOUGH * original:
        wanted, possible = (
            units.percent(budget.share(figure, original)) for figure in (asked, nearest)
        )
        raise BudgetUnreachable(
            f"--{budget.kind} {wanted} is out of reach: the nearest is {possible}; "
            "allow narrower layers with a smaller --unit, "
            "or see with `edgeprune inspect` which groups are locked and why"
        )


def _allocated(
    model: CostModel,
    scores: Mapping[str, Tensor],
    budget: Budget,
    options: Allocation,
    curves: Curves | None = None,
) -> Allocated:
    require_reachable(model, budget, options)
    candidates = [options.widths(group) for group in model.groups]
    asked, original = budget.asked(model), model.original(budget.quantity)
    if curves is None:
        indices = _turn_knob(model, scores, budget, options, candidates)
    else:
        indices = spend(model, (budget.quantity, asked), candidates, curves)
    indices = close_gap(model, budget, candidates, indices)
    widths = widths_at(candidates, indices)
    kept = tuple(
        KeptChannels(group.name, group.width, highest(scores[group.name], group, int(width)))
        for group, width in zip(model.groups, widths, strict=True)
        if width < group.width
    )
    reached = float(model.at(budget.quantity, widths))
    shares = (budget.share(asked, original), budget.share(reached, original))
    return Allocated(kept, budget.kind, *shares)


def _turn_knob(
    model: CostModel,
    scores: Mapping[str, Tensor],
    budget: Budget,
    options: Allocation,
    candidates: CandidateWidths,
) -> WidthIndices:
    """Bisect the share of channels that stay; the best indices met on the way."""
    asked = budget.asked(model)
    wanted = SCOPES[options.scope](model, scores, budget, options.cap)
    best, best_error = _nearest(candidates, model.full), float("inf")
    below, above = _nearest(candidates, 0 * model.full), best
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        indices = _nearest(candidates, wanted(middle))
        reached = float(model.at(budget.quantity, widths_at(candidates, indices)))
        if abs(reached - asked) < best_error:
            best, best_error = indices, abs(reached - asked)
        if reached < asked:
            low, below = middle, indices
        else:
            high, above = middle, indices
    if len(candidates) > MANY and best_error > AIM * model.original(budget.quantity):
        return between(model, budget, candidates, below, above)
    return best


def _nearest(candidates: CandidateWidths, wanted: Floats) -> WidthIndices:
    """For each group the index of the candidate width nearest to the width wanted."""
    return tuple(
        int(np.abs(widths - width).argmin())
        for widths, width in zip(candidates, wanted, strict=True)
    )
