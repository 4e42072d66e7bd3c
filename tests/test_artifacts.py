"""What artifacts derive from their own fields."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprune.artifacts import (
    CountComparison,
    InputSpec,
    InstructionCounts,
    LatencyComparison,
    Measurement,
    RatioInterval,
)


def test_counts_compare_by_their_medians_without_an_interval():
    before, after = InstructionCounts((90, 100, 130), 0.0), InstructionCounts((25, 24, 30), 0.0)
    found = CountComparison(before, after, {}).ratio
    assert (found.value, found.low, found.high) == (0.25, 0.25, 0.25)
    assert found.confidence == 1


def test_the_ratio_of_latencies_is_the_one_that_was_measured():
    interval = RatioInterval(0.5, 0.4, 0.6, 0.95)
    assert LatencyComparison(Measurement(()), Measurement(()), interval, {}).ratio is interval


@given(side=st.integers(1, 64), pixels=st.integers(1, 1 << 20))
def test_as_many_images_as_have_the_pixels_within_bounds(side, pixels):
    spec = InputSpec(((1, 3, side, 2 * side), (1, 1, side, side)))
    assert spec.pixels == 2 * side**2
    found = spec.images_of(pixels, 4, 64)
    assert 4 <= found <= 64
    if 4 < found < 64:
        assert found * spec.pixels <= pixels < (found + 1) * spec.pixels


def test_an_input_without_a_picture_has_one_pixel():
    assert InputSpec(((1, 7),)).images_of(100, 1, 1000) == pytest.approx(100)
