"""Sentences of a report: each names what was found, and claims no more than its data holds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprune.report import sentences
from edgeprune.report.document import Budget, Parity, Quality, Surgery


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (Budget("macs", 0.5, 0.504), "MACs 50.4% of the original (target 50%)"),
        (Budget("params", 0.125, 0.1249), "parameters 12.5% of the original (target 12.5%)"),
        (Budget("ratio", 0.5, 0.5), "channels removed 50.0% (target 50%)"),
        (Budget("plan", 0.504, 0.504), "as planned: MACs 50.4% of the original"),
        (Budget("macs", 20e6, 20.1e6, "count"), "MACs 20.1 M (target 20.0 M)"),
        (Budget("latency", 5e-3, None, "s"), "latency not known (target 5.00 ms)"),
    ],
)
def test_a_budget_names_what_was_reached_and_the_target(found: Budget, sentence: str) -> None:
    assert sentences.budget(found) == sentence


def test_a_budget_that_was_missed_says_so_and_what_would_meet_it() -> None:
    met = Budget("macs", 0.5, 0.504)
    assert sentences.missed(met) is None
    text = sentences.missed(replace(met, reached=0.62, missed=True, finer_unit=4))
    assert text == (
        "budget not reached: MACs 62.0% of the original (target 50%); widths are multiples of a "
        "unit, and --unit 4 comes within 1%"
    )
    hopeless = sentences.missed(replace(met, reached=0.62, missed=True))
    assert hopeless is not None
    assert hopeless.endswith("no other --unit comes nearer")
    assert sentences.tone(text) == sentences.tone(hopeless) == "note"


@given(st.integers(1, 500), st.data())
def test_agreement_of_classifiers_is_a_count_of_inputs(n: int, data: st.DataObject) -> None:
    agreeing = data.draw(st.integers(0, n))
    inputs = "input" if n == 1 else "inputs"
    text = sentences.agreement(Parity(0.0, 0.0, agreeing / n, n, (1,)))
    assert text == f"top-1 identical on {agreeing} of {n} {inputs}"


@given(st.integers(1, 64), st.integers(1, 10**6), st.data())
def test_agreement_at_positions_is_never_rounded_up_to_all(
    n: int, positions: int, data: st.DataObject
) -> None:
    total = n * positions
    agreeing = data.draw(st.integers(0, total - 1))
    text = sentences.agreement(Parity(0.0, 0.0, agreeing / total, n, (1,)))
    assert "100.0%" not in text
    assert f"on {n} of" not in text
    counted = agreeing / total == (agreeing // positions) / n
    assert text.endswith("of positions") is not counted


def test_agreement_that_is_not_finite_is_not_known() -> None:
    assert sentences.agreement(Parity(None, None, None, 8, (1,))) == "top-1 not known"


@pytest.mark.parametrize(("difference", "good"), [(1e-7, True), (1e-4, True), (1, False)])
def test_surgery_is_exact_within_its_tolerance(difference: float, good: bool) -> None:
    proof = Surgery(difference, 1e-4, ("norm_1",))
    text = sentences.surgery(proof)
    assert text.startswith("exact: " if good else "NOT exact: ")
    assert text.endswith("(tolerance 1e-04); statistics over the channels that stay in norm_1")
    assert sentences.tone(text) == ("good" if good else "bad")
    assert sentences.tone(sentences.surgery(replace(proof, max_rel_diff=None))) == "bad"


def test_of_many_places_with_fewer_channels_the_first_are_named() -> None:
    text = sentences.surgery(Surgery(0.0, 1e-4, ("(root)", "a", "b", "c", "d")))
    assert text.endswith("stay in the forward, a, b, 2 more layers")


def test_an_export_is_verified_unless_its_outputs_are_not_finite() -> None:
    parity = Parity(1e-6, 1e-6, 1.0, 32, (1, 3))
    closeness = sentences.closeness(parity, "PyTorch's")
    text = f"{sentences.verified(parity)}: {closeness}"
    assert text == (
        "verified on 32 inputs: outputs differ from PyTorch's by 1e-06 of their largest at most, "
        "top-1 identical on 32 of 32 inputs (batch 1, 3)"
    )
    assert sentences.tone(text) == "good"
    assert sentences.tone(sentences.verified(replace(parity, max_rel_diff=None))) == "bad"


PROCEDURAL = Quality(256, 0.22, 0.6, 0.493, 8, imagined=False, passed=True, detail="")


def test_images_are_compared_with_white_noise() -> None:
    assert sentences.image_quality(PROCEDURAL) == (
        "256 procedural images: BatchNorm statistics off by 0.22 σ (white noise: 0.60); "
        "mean confidence 49%, 8 classes seen"
    )


@pytest.mark.parametrize("imagined", [True, False])
@pytest.mark.parametrize("passed", [True, False])
def test_only_synthesized_images_have_to_be_far_below_noise(imagined: bool, passed: bool) -> None:
    text = sentences.image_quality(replace(PROCEDURAL, imagined=imagined, passed=passed))
    assert ("not far enough below noise" in text) is (imagined and not passed)


def test_what_a_network_does_not_have_is_left_out() -> None:
    text = sentences.image_quality(replace(PROCEDURAL, images=1, confidence=None, classes=None))
    assert text == ("1 procedural image: BatchNorm statistics off by 0.22 σ (white noise: 0.60)")
    assert "not finite" in sentences.image_quality(replace(PROCEDURAL, noise_shift=None))


@given(st.floats(0, 1, exclude_max=True), st.integers(2, 100))
def test_a_share_below_one_is_never_all(share: float, n: int) -> None:
    text = sentences.agreement(Parity(0.0, 0.0, share, n, (1,)))
    assert not text.startswith(f"top-1 identical on {n} of")


@pytest.mark.parametrize(("dtype", "said"), [("float64", False), ("float32", True), (None, False)])
def test_a_proof_in_single_precision_says_so(dtype: str | None, said: bool) -> None:
    text = sentences.surgery(Surgery(1e-7, 1e-5, (), dtype))
    assert ("float32" in text) is said
