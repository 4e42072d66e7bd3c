"""Laws of the statistics, against ``statistics``, numpy and scipy as independent oracles."""

from __future__ import annotations

import math
import random
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from edgeprune.stats import bootstrap_ratio, median, median_absolute_deviation, quantile

figures = st.floats(-1e6, 1e6, allow_subnormal=False)
samples = st.lists(figures, min_size=1, max_size=40)
positive = st.floats(1e-6, 1e6)


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


@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=12), st.integers(0, 2**32))
def test_swapping_the_pair_gives_the_reciprocal(pairs, seed):
    after, before = zip(*pairs, strict=True)
    there = bootstrap_ratio(after, before, random.Random(seed), resamples=50)
    back = bootstrap_ratio(before, after, random.Random(seed), resamples=50)
    assert back.value == pytest.approx(1 / there.value)
    assert (back.low, back.high) == pytest.approx((1 / there.high, 1 / there.low))


def test_same_seed_gives_same_interval():
    after, before = _rounds(random.Random(1), 20, ratio=0.5)
    first, second = (bootstrap_ratio(after, before, random.Random(7)) for _ in range(2))
    assert first == second


def test_equal_rounds_leave_no_doubt():
    interval = bootstrap_ratio([1.0] * 9, [4.0] * 9, random.Random(0), resamples=20)
    assert interval == pytest.approx((0.25, 0.25, 0.25))


def test_what_slows_both_of_a_pair_cancels():
    noise = random.Random(3)
    slow = [noise.uniform(1, 100) for _ in range(30)]
    interval = bootstrap_ratio([0.5 * s for s in slow], slow, random.Random(0), resamples=50)
    assert interval == pytest.approx((0.5, 0.5, 0.5))


@pytest.mark.parametrize("rounds", [8, 25])
def test_interval_is_that_of_scipy(rounds):
    after, before = _rounds(random.Random(rounds), rounds, ratio=0.7)
    logs = np.log(np.asarray(after) / np.asarray(before))
    expected = scipy_stats.bootstrap(
        (logs,), np.median, n_resamples=9999, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    ours = bootstrap_ratio(after, before, random.Random(0), resamples=9999)
    assert ours.value == pytest.approx(math.exp(np.median(logs)))
    # the resampled medians of few rounds are few values: allow one step between neighbours
    step = float(np.max(np.diff(np.sort(logs))))
    assert math.log(ours.low) == pytest.approx(expected.low, abs=step)
    assert math.log(ours.high) == pytest.approx(expected.high, abs=step)


@pytest.mark.parametrize("rounds", [8, 25])
def test_interval_covers_the_truth_as_often_as_it_says(rounds):
    noise, trials, truth = random.Random(rounds), 300, 0.6
    covered = 0
    for _ in range(trials):
        after, before = _rounds(noise, rounds, ratio=truth)
        interval = bootstrap_ratio(after, before, noise, resamples=200)
        covered += interval.low <= truth <= interval.high
    # A percentile bootstrap of a median falls a little short of its name with few rounds.
    assert scipy_stats.binomtest(covered, trials, 0.92, alternative="less").pvalue > 1e-3
    assert covered < trials


@pytest.mark.parametrize(
    ("after", "before", "said"),
    [
        ([1.0], [1.0, 2.0], "paired"),
        ([0.0], [1.0], "above zero"),
        ([1.0], [-1.0], "above zero"),
        ([math.nan], [1.0], "above zero"),
        ([], [], "at least one"),
    ],
)
def test_ratio_refuses_what_is_none(after, before, said):
    with pytest.raises(ValueError, match=said):
        bootstrap_ratio(after, before, random.Random(0))


def _rounds(noise, n, *, ratio):
    """Paired figures with a heavy-tailed slowness that both share and a little of their own."""
    shared = [math.exp(noise.expovariate(2)) for _ in range(n)]
    after = [ratio * s * math.exp(noise.gauss(0, 0.05)) for s in shared]
    before = [s * math.exp(noise.gauss(0, 0.05)) for s in shared]
    return after, before
