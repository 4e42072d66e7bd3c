"""Spending: no other widths on target lose less, by trying all of them."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprune.artifacts import SensitivityCurve
from edgeprune.pruning.closing import AIM
from edgeprune.pruning.spending import losses_at, spend

WIDTHS = np.array([8.0, 16.0, 24.0, 32.0])


class Costs:
    """Costs that add: so much for each channel of each group."""

    def __init__(self, each):
        self.each = np.array(each, dtype=float)
        self.groups = [SimpleNamespace(name=str(place)) for place in range(len(each))]
        self.full = np.full(len(each), 32.0)

    def at(self, _, widths):
        return widths @ self.each

    def original(self, _):
        return float(self.full @ self.each)


def curve(name, errors, widths=(32, 24, 16, 8)):
    return SensitivityCurve(name, "l2", widths, tuple(errors))


@given(st.floats(0.01, 2), st.floats(1, 3))
def test_errors_that_go_with_a_power_of_what_is_lost_are_met_at_every_width(scale, power):
    grid = np.arange(4.0, 33.0, 4.0)

    def error(width):
        return scale * (1 - width / 32) ** power

    one = curve("0", (0.0, *map(error, (24, 16, 4))), (32, 24, 16, 4))
    assert losses_at(one, grid) == pytest.approx(error(grid), rel=1e-6, abs=1e-9)


@given(st.lists(st.floats(0, 5), min_size=3, max_size=3))
def test_losses_are_convex_and_never_above_what_was_measured_if_errors_rise(errors):
    one = curve("0", (0.0, *sorted(errors)))
    losses = losses_at(one, WIDTHS)
    assert losses[-1] == 0
    assert all(np.diff(losses, 2) >= -1e-9)
    assert all(losses[::-1] <= np.array(one.errors) + 1e-9)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0.01, 1), min_size=3, max_size=3),
    st.lists(st.sampled_from([1.0, 2.0, 5.0]), min_size=3, max_size=3),
    st.sampled_from([0.5, 0.6, 0.75, 0.9]),
)
def test_no_widths_as_near_to_the_budget_lose_less_than_a_little(scales, each, share):
    model = Costs(each)
    curves = {
        str(place): curve(str(place), [scale * step**2 for step in range(4)])
        for place, scale in enumerate(scales)
    }
    asked = share * model.original("macs")
    indices = spend(model, ("macs", asked), [WIDTHS] * 3, curves)

    def judged(places):
        left = float(model.at("macs", WIDTHS[list(places)]))
        missed = max(abs(left - asked) / model.original("macs") - AIM, 0)
        lost = sum(losses_at(curves[str(g)], WIDTHS)[at] for g, at in enumerate(places))
        return round(missed, 9), lost

    best = min(map(judged, product(range(4), repeat=3)))
    found = judged(indices)
    assert found[0] <= best[0] + 8 * max(each) / model.original("macs")  # a step of the widest
    if found[0] == best[0]:
        assert found[1] <= best[1] + max(scales)


def test_a_step_that_leads_to_a_cliff_is_not_taken_for_cheap():
    model = Costs([1.0, 1.0])
    curves = {"0": curve("0", (0, 0.5, 0.5, 0.5)), "1": curve("1", (0, 0.2, 0.4, 0.6))}
    assert spend(model, ("macs", 0.625 * 64), [WIDTHS] * 2, curves) == (0, 3)  # not (2, 1)


def test_no_group_becomes_wider_than_its_curve_begins():
    model = Costs([1.0, 1.0])
    curves = {"0": curve("0", (0, 9.0), (16, 8)), "1": curve("1", (0, 0.1, 0.2, 0.3))}
    low, high = spend(model, ("macs", 0.5 * 64), [WIDTHS] * 2, curves)
    assert WIDTHS[low] == 16
    assert WIDTHS[high] == 16


def test_a_budget_of_everything_keeps_everything():
    model = Costs([1.0, 2.0])
    curves = {name: curve(name, (0, 0.1, 0.2, 0.3)) for name in "01"}
    assert spend(model, ("macs", model.original("macs")), [WIDTHS] * 2, curves) == (3, 3)
