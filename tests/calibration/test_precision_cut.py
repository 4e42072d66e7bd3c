"""The choice of precisions against the best of all choices, tried one by one."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from edgeprune.calibration.precision_cut import OUTSIDE, Crossing, fastest_precisions


def total(labels, float_s, int8_s, crossings):
    """Seconds of one choice, by the definition."""
    seconds = sum(q if x else f for x, f, q in zip(labels, float_s, int8_s, strict=True))
    for each in crossings:
        made = each.producer != OUTSIDE and labels[each.producer]
        read = [c != OUTSIDE and labels[c] for c in each.consumers]
        seconds += each.quantize_s * (not made and any(read))
        seconds += each.dequantize_s * (made and not all(read))
    return seconds


def network(seed):
    """A random network of 3 to 8 layers with branches, and times that pull both ways."""
    draw = np.random.default_rng(seed)
    layers = int(draw.integers(3, 9))
    crossings = [Crossing(OUTSIDE, (0,), *draw.uniform(0, 1, 2))]
    for producer in range(layers):
        later = [i for i in range(producer + 1, layers) if draw.random() < 0.5]
        readers = tuple(later) or (OUTSIDE,)
        crossings.append(Crossing(producer, readers, *draw.uniform(0, 1, 2)))
    return draw.uniform(0, 2, layers).tolist(), draw.uniform(0, 2, layers).tolist(), crossings


@pytest.mark.parametrize("seed", range(60))
def test_no_other_choice_is_faster(seed):
    float_s, int8_s, crossings = network(seed)
    best = min(
        total(labels, float_s, int8_s, crossings)
        for labels in itertools.product((False, True), repeat=len(float_s))
    )
    chosen = fastest_precisions(float_s, int8_s, crossings)
    assert total(chosen, float_s, int8_s, crossings) == pytest.approx(best, rel=1e-6)


def test_a_slow_layer_stays_in_8_bits_where_conversion_costs_more():
    chain = [Crossing(OUTSIDE, (0,), 1, 1), Crossing(0, (1,), 1, 1), Crossing(1, (2,), 1, 1)]
    chain.append(Crossing(2, (OUTSIDE,), 1, 1))
    assert fastest_precisions([9, 1, 9], [1, 2.5, 1], chain) == (True, True, True)
    assert fastest_precisions([9, 1, 9], [1, 3.5, 1], chain) == (True, False, True)


def test_a_layer_that_cannot_be_quantized_never_is():
    chain = [Crossing(OUTSIDE, (0,), 0, 0), Crossing(0, (1,), 0, 0), Crossing(1, (OUTSIDE,), 0, 0)]
    assert fastest_precisions([5, 5], [math.inf, 1], chain) == (False, True)


def test_a_tensor_with_many_readers_is_converted_once():
    fan = [Crossing(OUTSIDE, (0,), 0, 0), Crossing(0, (1, 2, 3), 3, 0)]
    fan += [Crossing(i, (OUTSIDE,), 0, 0) for i in (1, 2, 3)]
    assert fastest_precisions([1, 2, 2, 2], [9, 0.5, 0.5, 0.5], fan) == (False, True, True, True)


def test_equal_times_leave_the_network_in_float():
    assert fastest_precisions([1, 1], [1, 1], [Crossing(0, (1,), 0, 0)]) == (False, False)
