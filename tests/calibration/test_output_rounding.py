"""Rounding for the outputs against the best of all roundings, and against the nearest codes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgeprune.calibration.output_rounding import round_for_outputs


def filters(seed, out, k, samples=60):
    """Filters, their scale, and second moments of inputs that vary together."""
    draw = np.random.default_rng(seed)
    inputs = draw.standard_normal((samples, k)) @ draw.standard_normal((k, k)) + 1.0
    weight = draw.standard_normal((out, k))
    return weight, np.abs(weight).max(1, keepdims=True) / 7, inputs.T @ inputs / samples


def wrong(codes, weight, scale, moments):
    """Mean square by which each filter's output is wrong, by the definition."""
    error = codes * scale - weight
    return np.einsum("ok,kl,ol->o", error, moments, error)


def nearest(weight, scale):
    return np.clip(np.rint(weight / scale), -7, 7)


def test_two_thirds_of_what_the_best_of_all_choices_gains_is_gained():
    gained = possible = 0.0
    ways = np.array(list(itertools.product((0, 1), repeat=9)))
    for seed in range(8):
        weight, scale, moments = filters(seed, out=3, k=9)
        codes = round_for_outputs(weight, scale, moments, 7)
        choices = [np.clip(np.floor(weight / scale) + way, -7, 7) for way in ways]
        best = np.min([wrong(choice, weight, scale, moments) for choice in choices], axis=0)
        found, plain = (wrong(c, weight, scale, moments) for c in (codes, nearest(weight, scale)))
        assert (found >= best * (1 - 1e-9)).all()
        gained += (plain - found).sum()
        possible += (plain - best).sum()
    assert 2 / 3 < gained / possible <= 1


@pytest.mark.parametrize("seed", range(4))
def test_every_code_is_next_to_its_weight_and_none_is_too_large(seed):
    weight, scale, moments = filters(seed, out=16, k=40)
    codes = round_for_outputs(weight, scale * 0.8, moments, 7)
    assert np.abs(codes).max() <= 7
    inside = np.abs(weight / (scale * 0.8)) <= 7
    assert (np.abs(codes - weight / (scale * 0.8))[inside] < 1).all()
    assert (codes == np.rint(codes)).all()


def test_no_filter_is_worse_than_with_the_nearest_codes():
    weight, scale, moments = filters(5, out=64, k=72)
    found = wrong(round_for_outputs(weight, scale, moments, 7), weight, scale, moments)
    plain = wrong(nearest(weight, scale), weight, scale, moments)
    assert (found <= plain * (1 + 1e-9)).all()
    assert found.mean() < 0.5 * plain.mean()


def test_inputs_that_do_not_vary_together_leave_the_nearest_codes():
    weight, scale, _ = filters(2, out=8, k=20)
    moments = np.diag(np.random.default_rng(0).uniform(0.5, 2, 20))
    codes = round_for_outputs(weight, scale, moments, 7)
    np.testing.assert_array_equal(codes, nearest(weight, scale))


def test_inputs_that_are_always_zero_leave_the_nearest_codes():
    weight, scale, _ = filters(3, out=4, k=6)
    codes = round_for_outputs(weight, scale, np.zeros((6, 6)), 7)
    np.testing.assert_array_equal(codes, nearest(weight, scale))
