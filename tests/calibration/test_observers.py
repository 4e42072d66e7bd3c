"""Ranges from the values seen, against numpy's own quantiles and squared errors."""

import numpy as np
import pytest

from edgeprune.artifacts import Range
from edgeprune.calibration.histogram import counted, extremes
from edgeprune.calibration.observers import OBSERVERS, LeastSquares, MinMax, Percentile
from edgeprune.errors import UsageError
from edgeprune.parity import Array


def runs(values: Array) -> list[dict[str, Array]]:
    """The values in four parts, as four inputs would bring them."""
    return [{"t": part} for part in np.array_split(values, 4)]


def long_tailed(seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_t(3, 40_000).astype(np.float32)


def squared_error(values: Array, found: Range) -> float:
    """Mean squared error of 256 evenly spaced codes, one of which is zero."""
    low, high = min(found[0], 0), max(found[1], 0)
    scale = (high - low) / 255
    zero = round(-low / scale)
    codes = np.clip(np.rint(values / scale) + zero, 0, 255)
    return float(np.mean((values - (codes - zero) * scale) ** 2))


def test_min_max_is_what_was_seen_in_any_part() -> None:
    values = long_tailed()
    found = MinMax()(extremes(runs(values))["t"])
    assert found == (float(values.min()), float(values.max()))


def test_histogram_counts_every_value_once() -> None:
    values = long_tailed()
    seen = counted(runs(values), extremes(runs(values)))["t"]
    assert seen.counts is not None
    assert seen.counts.sum() == values.size
    wanted, _ = np.histogram(values, bins=len(seen.counts))
    assert np.abs(np.cumsum(seen.counts) - np.cumsum(wanted)).max() <= 1


@pytest.mark.parametrize("share", [0.9, 0.99, 0.999])
def test_percentile_is_numpys_quantile_within_a_bin(share: float) -> None:
    values = long_tailed()
    low, high = Percentile(share)(counted(runs(values), extremes(runs(values)))["t"])
    bin_width = float(values.max() - values.min()) / 2048
    beyond = (1 - share) / 2
    assert low == pytest.approx(float(np.quantile(values, beyond)), abs=bin_width)
    assert high == pytest.approx(float(np.quantile(values, 1 - beyond)), abs=bin_width)


def test_least_squares_beats_the_extremes_where_the_tail_is_long() -> None:
    values = long_tailed()
    seen = counted(runs(values), extremes(runs(values)))["t"]
    assert squared_error(values, LeastSquares()(seen)) < squared_error(values, MinMax()(seen))


def test_least_squares_keeps_nearly_all_where_values_are_spread_evenly() -> None:
    values = np.random.default_rng(0).uniform(-1, 3, 20_000)
    low, high = LeastSquares()(counted(runs(values), extremes(runs(values)))["t"])
    assert low == pytest.approx(-1, abs=0.05)
    assert high == pytest.approx(3, abs=0.15)


@pytest.mark.parametrize("name", OBSERVERS)
def test_a_constant_tensor_has_a_range(name: str) -> None:
    values = np.full(100, 2.5)
    low, high = OBSERVERS[name]()(counted(runs(values), extremes(runs(values)))["t"])
    assert low <= 2.5
    assert high == pytest.approx(2.5, abs=1.0)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="percentile"):
        Percentile(share)
