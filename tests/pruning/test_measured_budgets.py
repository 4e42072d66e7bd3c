"""Budgets that are measured: what they read, what they refuse, what they ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprune.errors import UsageError
from edgeprune.pruning.measured_budgets import MEASURED_BUDGETS, Latency, Size


@pytest.mark.parametrize(
    ("budget", "amount", "absolute"),
    [
        (Latency("50%"), 0.5, False),
        (Latency("0.5"), 0.5, False),
        (Latency(0.5), 0.5, False),
        (Latency("8ms"), 0.008, True),
        (Latency("250us"), 250e-6, True),
        (Latency(0.008, absolute=True), 0.008, True),
        (Size("2MB"), 2e6, True),
        (Size("1.5 MiB"), 1.5 * 2**20, True),
        (Size("35%"), 0.35, False),
    ],
)
def test_shares_and_figures_are_told_apart(budget, amount, absolute):
    assert (budget.amount, budget.absolute) == (pytest.approx(amount), absolute)


@pytest.mark.parametrize(
    "text", ["50", "0", "-5%", "100%", "120%", "2MB", "fast", "", "nan", "8 m"]
)
def test_what_is_no_latency_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match=f"--latency {text}: expected a share .* such as 8ms"):
        Latency(text)


@pytest.mark.parametrize("amount", [None, True, [0.5], float("inf"), 1.0, 3])
def test_what_is_no_size_is_refused(amount):
    with pytest.raises(UsageError, match=r"--size .*: expected"):
        Size(amount)


@given(share=st.floats(0.01, 0.99), original=st.floats(1e-5, 10))
def test_a_time_asks_for_its_share_of_the_original(share, original):
    assert Latency(share * original, absolute=True).share(original) == pytest.approx(share)
    assert Latency(share).share(original) == share


def test_an_original_within_the_budget_is_told_so():
    with pytest.raises(UsageError, match=r"--latency 8.00 ms: the original's is 5.00 ms already"):
        Latency("8ms").share(0.005)


def test_widths_are_steered_by_the_first_price_that_is_known():
    assert Latency(0.5).aim(0.4, {"macs", "latency"}).quantity == "latency"
    aim = Latency(0.5).aim(0.4, {"macs", "params"})
    assert (aim.kind, aim.quantity, aim.remaining) == ("latency", "macs", 0.4)
    assert set(MEASURED_BUDGETS) == {"latency", "size"}
