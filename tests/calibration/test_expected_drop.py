"""The accuracy that a classifier expects to lose, against drawn labels and by hand."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from edgeprune.calibration.expected_drop import expected_drop, has_classes


def logits(n: int = 400, classes: int = 5, spread: float = 2.0) -> np.ndarray:
    return spread * np.random.default_rng(0).normal(size=(n, classes))


def test_it_is_the_accuracy_lost_on_labels_drawn_from_the_reference() -> None:
    generator = np.random.default_rng(1)
    reference = logits(2000)
    candidate = reference + generator.normal(size=reference.shape)
    labels = np.array([generator.choice(5, p=p, size=50) for p in softmax(reference, axis=1)])
    right = [np.mean(labels == each.argmax(1)[:, None]) for each in (reference, candidate)]
    assert expected_drop(reference, candidate) == pytest.approx(right[0] - right[1], abs=0.01)


def test_each_input_is_tried_with_the_error_of_each() -> None:
    reference = np.array([[np.log(3.0), 0.0], [0.0, 5.0]])
    candidate = reference + np.array([[0.0, 2.0], [0.0, 0.0]])
    # of four pairs only the first input with its own error changes its answer: 3/4 → 1/4
    assert expected_drop(reference, candidate) == pytest.approx(0.5 / 4)


def test_a_constant_and_probabilities_in_place_of_logits_change_nothing() -> None:
    reference = logits()
    candidate = reference + 0.5 * np.random.default_rng(2).normal(size=reference.shape)
    expected = expected_drop(reference, candidate)
    assert expected_drop(reference + 7, candidate - 3) == pytest.approx(expected)
    for kind in (softmax, log_softmax):
        found = expected_drop(kind(reference, axis=1), kind(candidate, axis=1))
        assert found == pytest.approx(expected)


def test_nothing_is_lost_by_the_same_answers_and_more_by_larger_errors() -> None:
    reference = logits()
    assert expected_drop(reference, reference) == 0
    noise = np.random.default_rng(3).normal(size=reference.shape)
    drops = [expected_drop(reference, reference + size * noise) for size in (0.1, 1.0, 5.0)]
    assert 0 < drops[0] < drops[1] < drops[2]


def test_probabilities_of_nothing_are_finite() -> None:
    sure = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert 0 <= expected_drop(sure, sure[::-1]) <= 1


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((1, 10), True), ((1, 1), False), ((1, 85, 22, 22), False), ((4,), False)],
)
def test_a_vector_an_input_is_taken_for_classes(shape: tuple[int, ...], expected: bool) -> None:
    assert has_classes(np.zeros(shape)) is expected
