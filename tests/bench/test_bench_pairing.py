"""One session: who runs when, and what its figure is."""

from __future__ import annotations

import math

import pytest
from replay import Replay

from edgeprune.bench import pairing

PLACE = {"A": 0, "B": 1}


def run_session(latency, number=0, run_s=0.01, models="AB"):
    device = Replay(latency, run_s=run_s)

    def start(model, cores):
        return device.start({"model": f"{models[model]}.onnx", "cores": cores})

    return device, pairing.run_session(start, len(models), number)


@pytest.mark.parametrize(
    ("number", "models", "order"),
    [(0, "AB", "ABBA"), (1, "AB", "BAAB"), (2, "AB", "ABBA"), (0, "A", "AA"), (1, "A", "AA")],
)
def test_blocks_alternate_in_mirrored_order(number, models, order):
    device, session = run_session(lambda *_: 1.0, number, models=models)
    assert "".join(name for name, _, _ in device.of("run")) == order * 5
    assert [len(side.blocks_s) for side in session.sides] == [10] * len(models)


@pytest.mark.parametrize("number", [0, 1])
def test_blocks_are_those_of_their_model_in_the_order_they_were_run(number):
    _, session = run_session(lambda name, start, now: 1 + PLACE[name] * 1e6 + now, number)
    for name, side in zip("AB", session.sides, strict=True):
        samples = [sample for block in side.blocks_s for sample in block]
        assert samples == sorted(samples)
        assert all((sample > 1e6) == (name == "B") for sample in samples)


def test_memory_and_loading_are_those_of_their_model():
    _, session = run_session(lambda *_: 1.0, number=1)
    before, after = session.sides
    assert (after.load_peak_rss_bytes, before.load_peak_rss_bytes) == (301, 302)
    assert (after.run_peak_rss_bytes, before.run_peak_rss_bytes) == (201, 202)
    assert after.load_s < before.load_s


@pytest.mark.parametrize(
    ("run_s", "runs"), [(0.01, 5), (1.0, 2), (30.0, 2), (1e-9, 1000), (0.0, 1000), (0.001, 50)]
)
def test_a_block_lasts_fifty_milliseconds_or_two_runs(run_s, runs):
    assert pairing.block_length(run_s) == runs


@pytest.mark.parametrize(("run_s", "rounds"), [(0.01, 5), (0.04, 3), (1.0, 2), (1e-9, 5), (0.0, 5)])
def test_a_session_lasts_about_a_second_or_two_rounds(run_s, rounds):
    device, _ = run_session(lambda *_: 1.0, run_s=run_s)
    assert len(device.of("run")) == 4 * rounds


def test_a_steady_drift_cancels_over_two_sessions():
    drift = lambda name, start, now: 1 + 1e-3 * now  # noqa: E731
    figures = [run_session(drift, number)[1].figure for number in (0, 1)]
    assert abs(figures[0]) < 0.01
    assert sum(figures) == pytest.approx(0, abs=1e-3)


def test_the_figure_is_the_logarithm_of_the_second_over_the_first():
    base = {"A": 4.0, "B": 1.0}
    assert run_session(lambda name, *_: base[name])[1].figure == pytest.approx(math.log(0.25))
    assert run_session(lambda *_: 4.0, models="A")[1].figure == pytest.approx(math.log(4))


def test_what_nothing_interrupted_counts():
    """Nine runs in ten are interrupted, for longer than a run takes."""
    base = {"A": 1.0, "B": 0.4}
    _, session = run_session(lambda name, _, now: base[name] + 3 * (now % 10 > 0))
    assert session.figure == pytest.approx(math.log(0.4))


def test_a_round_counts_both_blocks():
    assert pairing.round_medians(((1.0, 2.0), (3.0,), (5.0,), (7.0,))) == [2.0, 6.0]
    assert pairing.median_latency(((1.0, 2.0), (3.0,), (5.0,), (7.0,))) == 3.0
