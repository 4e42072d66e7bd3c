"""Laws of the statistics, against ``statistics``, numpy and scipy as independent oracles."""

from __future__ import annotations

import itertools
import random
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from edgeprune.stats import (
    FEWEST_FOR_RANKS,
    centre,
    median,
    median_absolute_deviation,
    outlier_count,
    paired_difference,
    quantile,
    surest,
)

figures = st.floats(-1e6, 1e6, allow_subnormal=False)
samples = st.lists(figures, min_size=1, max_size=40)
several = st.lists(figures, min_size=2, max_size=12)


@given(samples)
def test_median_is_that_of_statistics(values):
    assert median(values) == pytest.approx(statistics.median(values), rel=1e-12, abs=1e-12)


@given(samples)
def test_deviation_is_that_of_scipy(values):
    expected = scipy_stats.median_abs_deviation(values)
    assert median_absolute_deviation(values) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(samples, st.floats(0, 1))
def test_quantile_is_that_of_numpy(values, share):
    expected = np.quantile(values, share, method="linear")
    assert quantile(values, share) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(samples, st.floats(0, 1))
def test_quantile_lies_within_the_sample(values, share):
    slack = 1e-9 * max(abs(value) for value in values)
    assert min(values) - slack <= quantile(values, share) <= max(values) + slack


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], -0.1), ([1.0], 1.1)])
def test_quantile_refuses_what_has_no_answer(values, share):
    with pytest.raises(ValueError, match="quantile"):
        quantile(values, share)


@given(several)
def test_the_interval_turns_with_its_values(values):
    there, back = centre(values), centre([-value for value in values])
    assert (back.value, back.low, back.high) == pytest.approx(
        (-there.value, -there.high, -there.low), rel=1e-9, abs=1e-9
    )


@given(several)
def test_the_interval_holds_its_centre(values):
    found = centre(values)
    slack = 1e-9 * max(abs(value) for value in values)
    assert found.low - slack <= found.value <= found.high + slack


@pytest.mark.parametrize("n", range(2, FEWEST_FOR_RANKS))
def test_few_values_have_the_interval_of_scipys_student(n):
    values = random.Random(n).choices(range(100), k=n)
    expected = scipy_stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = centre(values)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)


@pytest.mark.parametrize("n", [6, 7, 9, 14, 25])
@pytest.mark.parametrize("confidence", [0.95, 0.9775, 0.8])
def test_the_interval_is_where_scipys_signed_rank_test_stops_rejecting(n, confidence):
    noise = random.Random(n)
    values = [noise.gauss(3, 1) for _ in range(n)]
    confidence = min(confidence, surest(n))
    found = centre(values, confidence=confidence)

    def rejected(centre_of_all):
        moved = np.asarray(values) - centre_of_all
        return scipy_stats.wilcoxon(moved, method="exact").pvalue <= 1 - confidence

    assert not rejected(found.low + 1e-6)
    assert not rejected(found.high - 1e-6)
    assert rejected(found.low - 1e-6)
    assert rejected(found.high + 1e-6)


@pytest.mark.parametrize("n", [6, 10])
def test_signs_drawn_in_every_way_leave_the_centre_outside_as_seldom_as_it_says(n):
    """The law the interval rests on, by counting: magnitudes are fixed and any signs as likely."""
    magnitudes = [1.0 + 0.37 * k for k in range(n)]
    outside = 0
    for signs in itertools.product((-1, 1), repeat=n):
        found = centre([m * s for m, s in zip(magnitudes, signs, strict=True)])
        outside += not found.low <= 0 <= found.high
    assert 0.5 * 0.05 < outside / 2**n <= 0.05


def test_equal_values_leave_no_doubt():
    assert centre([2.0] * 4) == centre([2.0] * 9) == (2.0, 2.0, 2.0)


def test_one_outlier_hardly_moves_the_interval():
    values = [1.0, 1.01, 0.99, 1.02, 0.98, 1.0, 1.01, 0.99, 1.0, 1.02, 0.98]
    spoiled = [*values, 50.0]
    assert centre(spoiled).value == pytest.approx(1.0, abs=0.02)
    assert centre(spoiled).high < 1.1


@pytest.mark.parametrize(
    ("values", "confidence", "message"),
    [
        ([1.0], 0.95, "one value"),
        ([], 0.95, "one value"),
        ([1.0] * 6, 0.99, "cannot be 99.0% sure"),
    ],
)
def test_too_few_values_are_refused(values, confidence, message):
    with pytest.raises(ValueError, match=message):
        centre(values, confidence=confidence)


def test_ranks_are_used_as_soon_as_they_can_be_sure():
    assert surest(FEWEST_FOR_RANKS - 1) < 0.95 <= surest(FEWEST_FOR_RANKS)


@pytest.mark.parametrize("n", range(FEWEST_FOR_RANKS, 30))
def test_the_surest_interval_reaches_from_the_smallest_value_to_the_largest(n):
    values = [float(k * k) for k in range(n)]
    found = centre(values, confidence=surest(n))
    assert (found.low, found.high) == (values[0], values[-1])
    with pytest.raises(ValueError, match="sure"):
        centre(values, confidence=surest(n + 1))


@pytest.mark.parametrize(
    ("values", "floor", "expected"),
    [
        ([1.0, 1.1, 0.9, 1.05, 0.95, 5.0], 0.01, 1),
        ([1.0, 1.1, 0.9, 1.05, 0.95], 0.01, 0),
        ([1.0] * 8 + [1.01], 0.01, 0),
        ([1.0] * 8 + [1.04], 0.01, 1),
        ([2.0], 0.01, 0),
    ],
)
def test_values_far_from_the_others_are_counted(values, floor, expected):
    assert outlier_count(values, floor=floor) == expected


@pytest.mark.parametrize(("p_lost", "p_won"), [(0.1, 0.02), (0.02, 0.02), (0.3, 0.1), (0.5, 0.0)])
def test_the_interval_of_a_paired_difference_holds_it_as_often_as_it_says(p_lost, p_won):
    n, held = 60, 0.0
    for lost in range(n + 1):
        chance_lost = scipy_stats.binom.pmf(lost, n, p_lost)
        for won in range(n - lost + 1):
            chance = chance_lost * scipy_stats.binom.pmf(won, n - lost, p_won / (1 - p_lost))
            found = paired_difference(lost, won, n)
            held += chance * (found.low <= p_lost - p_won <= found.high)
    assert held > 0.935


def test_a_paired_difference_is_that_of_the_shares_and_its_sides_can_be_swapped():
    found, swapped = paired_difference(9, 4, 100), paired_difference(4, 9, 100)
    assert found.value == pytest.approx(0.05)
    assert found.low < found.value < found.high
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low))


@pytest.mark.parametrize("counts", [(0, 0, 0), (3, 3, 5), (-1, 2, 9)])
def test_a_paired_difference_of_nothing_is_refused(counts):
    with pytest.raises(ValueError, match="things"):
        paired_difference(*counts)
