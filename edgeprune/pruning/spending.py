"""Widths from sensitivity curves: spend loss where it saves most.

Each group's curve is replaced by its lower convex hull, so that no step looks cheap that leads to a
dear one. From the widths that are, the step that loses least for what it saves is taken again and
again, until the budget is met: greedy marginal cost, which for convex curves and costs that add is
the optimum. Costs of neighbouring groups multiply, so steps are priced anew each time, and
exchanges between groups follow until none helps.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from edgeprune.pruning.closing import AIM, CandidateWidths, WidthIndices, widths_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgeprune.artifacts.sensitivity import SensitivityCurve
    from edgeprune.pruning.pricing import CostModel, Floats

FREE = 1e-9
"""Loss of a step that loses nothing: of those, the one that saves most is taken."""

MANY_STEPS = 250
"""With more single steps than this, exchanges of two are too many to try."""

SMALLEST = 1e-12
"""Errors and shares below this are none."""

STEEPEST = 3.0
"""Largest power by which errors fall below the first that was measured."""

ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Spending:
    """A budget spent by curves.

    Attributes:
        model: Costs by width.
        quantity: What the budget is about; a price of ``model``.
        candidates: Widths of each group, ascending.
        losses: What the network loses at each of them.
        start: Index of each group's width that is; none becomes wider.
    """

    model: CostModel
    quantity: str
    candidates: CandidateWidths
    losses: Sequence[Floats]
    start: WidthIndices

    def until(self, asked: float) -> WidthIndices:
        """The widths at which the quantity is as near to ``asked`` as it comes, at least loss."""
        return self._exchanged(self._narrowed(asked), asked)

    def _narrowed(self, asked: float) -> WidthIndices:
        """Take the step that loses least for what it saves, until no more than asked is left."""
        indices, left = self.start, self._left([self.start])[0]
        while left > asked:
            steps = [_moved(indices, (place, -1)) for place, at in enumerate(indices) if at > 0]
            if not steps:
                break
            remaining = self._left(steps)
            lost = np.array([self._loss(each) for each in steps]) - self._loss(indices)
            best = int((np.maximum(lost, FREE) / np.maximum(left - remaining, ROUNDING)).argmin())
            indices, left = steps[best], remaining[best]
        return indices

    def _exchanged(self, indices: WidthIndices, asked: float) -> WidthIndices:
        """Widen and narrow single groups, or one for another, while that helps."""
        original = self.model.original(self.quantity)
        for _ in range(4 * len(indices)):
            tried = [indices, *self._neighbours(indices)]
            missed = np.abs(self._left(tried) - asked) / original - AIM
            missed = np.maximum(missed, 0).round(9)
            lost = np.array([self._loss(each) for each in tried]).round(12)
            best = int(np.lexsort((lost, missed))[0])
            if (missed[best], lost[best]) >= (missed[0], lost[0]):
                break
            indices = tried[best]
        return indices

    def _neighbours(self, indices: WidthIndices) -> list[WidthIndices]:
        steps = [
            (place, by)
            for place, at in enumerate(indices)
            for by in (-2, -1, 1, 2)
            if 0 <= at + by <= self.start[place]
        ]
        single = [_moved(indices, step) for step in steps]
        if len(steps) > MANY_STEPS:
            return single
        pairs = ((a, b) for a, b in product(steps, steps) if a[0] != b[0] and a[1] < 0 < b[1])
        return single + [_moved(indices, a, b) for a, b in pairs]

    def _left(self, tried: Sequence[WidthIndices]) -> Floats:
        """The quantity at several assignments, (N,)."""
        rows = np.stack([widths_at(self.candidates, each) for each in tried])
        return self.model.at(self.quantity, rows)

    def _loss(self, indices: WidthIndices) -> float:
        return float(sum(loss[at] for loss, at in zip(self.losses, indices, strict=True)))


def losses_at(curve: SensitivityCurve, widths: Floats) -> Floats:
    """What the network loses at each of some widths, by the lower convex hull of a curve.

    Between the widths that were measured errors go with a power of the share that is lost, up to
    the first as well: the channels that matter least cost little, and a straight line would make
    many small cuts look as dear as a large one.

    Args:
        curve: Errors at a few widths.
        widths: Widths, (W,), ascending; wider ones than the curve's lose nothing.
    """
    start = curve.widths[0]
    if len(curve.widths) == 1:
        return np.zeros(len(widths))
    lost = np.log(1 - np.array(curve.widths[1:], dtype=np.float64) / start)
    errors = np.log(np.maximum.accumulate(np.maximum(curve.errors[1:], SMALLEST)))
    shares = np.log(np.maximum(1 - widths / start, SMALLEST))
    between = np.exp(np.interp(shares, lost, errors))
    power = 1.0 if len(lost) == 1 else float((errors[1] - errors[0]) / (lost[1] - lost[0]))
    before = np.exp(errors[0] + min(max(power, 1.0), STEEPEST) * (shares - lost[0]))
    found = np.where(shares < lost[0], before, between)
    return _lower_hull(widths, np.where(widths < start, found, 0.0))


def _lower_hull(widths: Floats, values: Floats) -> Floats:
    """The largest convex function that is nowhere above values (W,) at ascending widths (W,)."""
    hull: list[tuple[float, float]] = []
    for point in zip(widths.tolist(), values.tolist(), strict=True):
        while len(hull) > 1 and _above(hull[-1], hull[-2], point):
            hull.pop()
        hull.append(point)
    known, lowest = zip(*hull, strict=True)
    found: Floats = np.interp(widths, np.array(known), np.array(lowest))
    return found


def spend(
    model: CostModel,
    asked: tuple[str, float],
    candidates: CandidateWidths,
    curves: Mapping[str, SensitivityCurve],
) -> WidthIndices:
    """Choose widths by curves.

    Args:
        model: Costs by width.
        asked: A price of ``model``, and the figure to reach.
        candidates: Widths of each group, ascending.
        curves: The curve of each group; from the width that it begins with, the group may become
            narrower.

    Returns:
        For each group which of its widths it takes.
    """
    quantity, figure = asked
    own = [curves[group.name] for group in model.groups]
    losses = [losses_at(curve, widths) for curve, widths in zip(own, candidates, strict=True)]
    start = tuple(
        max(int(np.searchsorted(widths, curve.widths[0], side="right")) - 1, 0)
        for curve, widths in zip(own, candidates, strict=True)
    )
    return Spending(model, quantity, candidates, losses, start).until(figure)


def _above(
    middle: tuple[float, float], left: tuple[float, float], right: tuple[float, float]
) -> bool:
    """Whether a point is on or above the line between its neighbours."""
    rise = (right[1] - left[1]) * (middle[0] - left[0])
    return (middle[1] - left[1]) * (right[0] - left[0]) >= rise


def _moved(indices: WidthIndices, *steps: tuple[int, int]) -> WidthIndices:
    moved = list(indices)
    for place, by in steps:
        moved[place] += by
    return tuple(moved)
