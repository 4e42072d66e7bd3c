"""Figures of fidelity against numpy's."""

import numpy as np
import pytest

from edgeprune.calibration.expected_drop import expected_drop
from edgeprune.calibration.fidelity import fidelity
from edgeprune.parity import Array


def pairs(n: int = 6) -> tuple[list[dict[str, Array]], list[dict[str, Array]]]:
    generator = np.random.default_rng(0)
    wanted = [{"logits": generator.normal(size=(1, 5)), "t": generator.normal(size=(1, 4, 3, 3))}
              for _ in range(n)]  # fmt: skip
    got = [{"logits": each["logits"] + 0.3 * generator.normal(size=(1, 5))} for each in wanted]
    return wanted, got


def test_error_and_agreement_are_those_of_all_inputs_together() -> None:
    wanted, got = pairs()
    found = fidelity(wanted, got, outputs=["logits"], ranges={}, origin="given")
    a, b = (np.concatenate([each["logits"] for each in side]) for side in (wanted, got))
    assert found.relative_error == pytest.approx(np.linalg.norm(a - b) / np.linalg.norm(a))
    assert found.agreement == pytest.approx(np.mean(a.argmax(1) == b.argmax(1)))
    assert found.n == 6
    assert found.most_clipped == 0


def test_clipped_values_are_counted_by_tensor() -> None:
    wanted, got = pairs()
    found = fidelity(wanted, got, outputs=["logits"], ranges={"t": (-1.0, 1.0)}, origin="given")
    values = np.concatenate([each["t"] for each in wanted])
    slack = 2 / 255 / 2
    assert found.clipped == {"t": pytest.approx(np.mean(np.abs(values) > 1 + slack))}
    assert found.most_clipped == found.clipped["t"] > 0


def test_the_worst_output_counts() -> None:
    wanted = [{"good": np.array([[1.0, 2.0]]), "bad": np.array([[1.0, 2.0]])}]
    got = [{"good": np.array([[1.0, 2.0]]), "bad": np.array([[2.0, 1.0]])}]
    found = fidelity(wanted, got, outputs=["good", "bad"], ranges={}, origin="given")
    assert found.agreement == 0
    assert found.relative_error == pytest.approx((2 / 5) ** 0.5)


def test_an_output_of_zeros_that_is_hit_has_no_error() -> None:
    zeros = [{"out": np.zeros((1, 3))}]
    assert fidelity(zeros, zeros, outputs=["out"], ranges={}, origin="").relative_error == 0
    ones = [{"out": np.ones((1, 3))}]
    assert fidelity(zeros, ones, outputs=["out"], ranges={}, origin="").relative_error == np.inf


def test_only_scores_of_classes_tell_what_accuracy_is_lost() -> None:
    wanted, got = pairs()
    found = fidelity(wanted, got, outputs=["logits"], ranges={}, origin="")
    a, b = (np.concatenate([each["logits"] for each in side]) for side in (wanted, got))
    assert found.expected_drop == expected_drop(a, b)
    maps = [{"map": np.zeros((1, 5, 4, 4))}]
    assert fidelity(maps, maps, outputs=["map"], ranges={}, origin="").expected_drop is None
