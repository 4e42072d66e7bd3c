import numpy as np
import pytest

from edgeprune.errors import VerificationFailed
from edgeprune.parity import Closeness, OutputComparison, compare

rng = np.random.default_rng(0)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e9])
def test_relative_difference_does_not_depend_on_the_scale(scale):
    reference = rng.normal(size=(2, 5, 4, 4))
    candidate = reference + 1e-3 * rng.normal(size=reference.shape)
    plain = compare(reference, candidate)
    scaled = compare(scale * reference, scale * candidate)
    assert scaled.max_rel_diff == pytest.approx(plain.max_rel_diff)
    assert scaled.max_abs_diff == pytest.approx(scale * plain.max_abs_diff)
    assert scaled.argmax_agreement == plain.argmax_agreement


def test_equal_outputs_are_as_close_as_can_be():
    output = rng.normal(size=(3, 4))
    assert compare(output, output) == Closeness(0.0, 0.0, 1.0)


def test_a_reference_of_zeros_forgives_nothing():
    zeros = np.zeros((1, 3))
    assert compare(zeros, zeros).max_rel_diff == 0
    assert compare(zeros, zeros + 1e-30).max_rel_diff == np.inf


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["reference", "candidate", "both"])
def test_what_is_not_finite_is_infinitely_far(value, where):
    good = rng.normal(size=(2, 3))
    bad = good.copy()
    bad[0, 1] = value
    pair = {"reference": (bad, good), "candidate": (good, bad), "both": (bad, bad)}[where]
    closeness = compare(*pair)
    assert closeness.max_rel_diff == np.inf
    assert closeness.argmax_agreement == 0.5


def test_agreement_counts_every_position_of_a_dense_output():
    reference = rng.normal(size=(2, 4, 8, 8))
    candidate = reference.copy()
    candidate[0, :, :2] = -reference[0, :, :2]
    expected = (reference.argmax(1) == candidate.argmax(1)).mean()
    assert expected < 1
    assert compare(reference, candidate).argmax_agreement == expected


def test_a_near_tie_is_agreement_and_a_clear_loss_is_not():
    reference = np.array([[1.0, 1.0 - 1e-6, -2.0]])
    assert compare(reference, np.array([[0.99, 1.0, -2.0]])).argmax_agreement == 1
    assert compare(reference, np.array([[0.0, 0.0, 1.0]])).argmax_agreement == 0


@pytest.mark.parametrize("shape", [(5,), (4, 1), (2, 1, 3, 3), ()])
def test_without_several_channels_all_positions_agree(shape):
    output = rng.normal(size=shape)
    assert compare(output, -output).argmax_agreement == 1


def test_whole_numbers_are_compared_without_wrapping_around():
    assert compare(np.uint8([[3]]), np.uint8([[5]])).max_abs_diff == 2


def test_piecewise_is_the_same_as_all_at_once():
    reference = rng.normal(size=(6, 5))
    candidate = reference + 0.1 * rng.normal(size=reference.shape)
    comparison = OutputComparison()
    for row in range(6):
        comparison.add(reference[row : row + 1], candidate[row : row + 1])
    assert comparison.result() == compare(reference, candidate)


def test_another_shape_is_named():
    with pytest.raises(VerificationFailed, match=r"'mask' has shape \(1, 3\) and not \(1, 2\)"):
        OutputComparison("mask").add(np.zeros((1, 2)), np.zeros((1, 3)))
