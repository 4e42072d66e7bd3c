"""Budgets: what can be said on the command line, and what it means."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from traced_zoo import traced

from edgeprune.costs import count
from edgeprune.errors import UsageError
from edgeprune.pruning import Macs, Params, Ratio, cost_model, parse_budget

MODEL = cost_model(
    traced("chain"), count(traced("chain").source.module, traced("chain").source.input)
)


@pytest.mark.parametrize(
    ("kind", "text", "budget"),
    [
        ("macs", "50%", Macs(0.5)),
        ("macs", "0.5", Macs(0.5)),
        ("macs", ".5", Macs(0.5)),
        ("macs", " 50 % ", Macs(0.5)),
        ("macs", "12.5%", Macs(0.125)),
        ("macs", "100%", Macs(1.0)),
        ("macs", "1", Macs(1.0)),
        ("macs", "20M", Macs(20e6)),
        ("macs", "20m", Macs(20e6)),
        ("macs", "1.5G", Macs(1.5e9)),
        ("macs", "1500000", Macs(1.5e6)),
        ("params", "1.5M", Params(1.5e6)),
        ("params", "30K", Params(30e3)),
        ("params", "500.", Params(500.0)),
        ("ratio", "0.5", Ratio(0.5)),
        ("ratio", "30%", Ratio(0.3)),
        ("ratio", "0", Ratio(0.0)),
        ("ratio", "0%", Ratio(0.0)),
    ],
)
def test_what_can_be_said(kind, text, budget):
    parsed = parse_budget(kind, text)
    assert type(parsed) is type(budget)
    assert parsed.amount == pytest.approx(budget.amount)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("macs", ""), ("macs", "half"), ("macs", "-50%"), ("macs", "1e6"), ("macs", "5 0%"),
        ("macs", "50%%"), ("macs", "20T"), ("macs", "nan"), ("macs", "inf"), ("macs", "."),
        ("macs", "1,5M"), ("macs", "0"), ("macs", "0%"), ("macs", "101%"), ("params", "0.0"),
        ("macs", "50"), ("macs", "2"), ("params", "5"), ("ratio", "1"), ("ratio", "100%"),
        ("ratio", "2"), ("ratio", "20M"), ("ratio", "-0.1"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(kind, text):
    with pytest.raises(UsageError) as caught:
        parse_budget(kind, text)
    assert str(caught.value).startswith(f"--{kind} {text}: ")


def test_a_number_that_is_no_share_and_no_count_is_taken_for_per_cent():
    with pytest.raises(UsageError, match="--macs 50: did you mean 50%"):
        parse_budget("macs", "50")


def test_budgets_read_what_the_command_line_reads():
    assert Macs("50%") == Macs(0.5)
    assert Ratio("30%") == Ratio(0.3)
    assert Params("1.5M") == Params(1.5e6)
    for wrong in (None, True, [0.5], "half", -0.5, float("nan")):
        with pytest.raises(UsageError, match="--macs"):
            Macs(wrong)
    with pytest.raises(UsageError, match="--ratio"):
        Ratio(1.5)


def test_an_unknown_kind_is_refused():
    with pytest.raises(UsageError, match="no budget is called 'latency': there are macs, params"):
        parse_budget("latency", "50%")


@given(share=st.floats(0.01, 0.99))
def test_a_share_and_the_same_as_a_number_ask_the_same(share):
    whole = MODEL.original("macs")
    assert Macs(share).asked(MODEL) == pytest.approx(share * whole)
    assert Macs(share * whole).asked(MODEL) == pytest.approx(share * whole)
    assert Params(share).asked(MODEL) == pytest.approx(share * MODEL.original("params"))


@given(share=st.floats(0.0, 0.99))
def test_a_ratio_is_the_share_of_channels_removed(share):
    budget, whole = Ratio(share), float(MODEL.full.sum())
    assert budget.asked(MODEL) == pytest.approx((1 - share) * whole)
    assert budget.share(budget.asked(MODEL), whole) == pytest.approx(share)


@pytest.mark.parametrize("budget", [Macs(0.5), Params(0.5), Ratio(0.5)])
def test_what_is_reached_is_in_the_unit_of_what_is_asked(budget):
    full = MODEL.original(budget.quantity)
    assert budget.asked(MODEL) == pytest.approx(full / 2)
    assert budget.share(full / 2, full) == pytest.approx(0.5)
    assert math.isfinite(full)
    assert np.all(MODEL.at(budget.quantity, np.stack([MODEL.full, MODEL.full])) == full)
