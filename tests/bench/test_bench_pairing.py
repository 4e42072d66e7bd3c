"""The arithmetic of alternating measurement, on models whose latencies we write ourselves."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest

from edgeprune.artifacts import RatioInterval
from edgeprune.bench import pairing

QUIET = {
    "cores": 4,
    "load_average": {"start": [0.1, 0.1, 0.1], "end": [1.0, 0.2, 0.1]},
    "memory": "VmHWM",
}


class Replayed:
    """Answers with latencies made by ``latency(time)``; a shared diary keeps the order."""

    def __init__(self, name, diary, latency):
        self.ready = SimpleNamespace(run_s=0.01)
        self._name, self._diary, self._latency = name, diary, latency

    def run(self, n):
        now = sum(runs for _, runs in self._diary)
        self._diary.append((self._name, n))
        return tuple(self._latency(now + run) for run in range(n))


def silent(share, doing):
    pass


def replay(before, after):
    diary = []
    models = Replayed("A", diary, before), Replayed("B", diary, after)
    return diary, pairing.alternate(*models, 1e-9, silent)


def test_blocks_alternate_in_mirrored_order_for_eight_rounds_at_least():
    diary, (original, compressed) = replay(lambda _: 1.0, lambda _: 1.0)
    assert "".join(name for name, _ in diary) == "ABBA" * 8
    assert len(original) == len(compressed) == 16


def test_blocks_come_back_in_the_order_they_were_run():
    _, (original, compressed) = replay(lambda now: 1.0 + now, lambda now: 1.0 + now)
    assert list(original) == sorted(original)
    assert list(compressed) == sorted(compressed)
    assert original[0] < compressed[0] < compressed[1] < original[1]


def test_a_budget_that_is_not_spent_keeps_going():
    diary = []
    shares = []
    model = Replayed("A", diary, lambda _: 1.0)
    pairing.alone(model, 0.05, lambda share, _: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(diary) == 2 * len(shares) > 16


@pytest.mark.parametrize(
    ("run_s", "runs"), [(0.01, 5), (1.0, 3), (30.0, 3), (1e-9, 1000), (0.0, 1000), (0.001, 50)]
)
def test_a_block_lasts_fifty_milliseconds_or_three_runs(run_s, runs):
    assert pairing._block_length(run_s) == runs


def test_a_steady_drift_within_each_round_cancels():
    _, (original, compressed) = replay(lambda now: 1 + 0.01 * now, lambda now: 1 + 0.01 * now)
    latency = pairing.latency_ratio(original, compressed, seed=0)
    assert latency.value == pytest.approx(1, abs=1e-3)


def test_a_known_ratio_is_found_through_interruptions():
    noise = random.Random(0)

    def slowed(base):
        return lambda _: base * (1 + 0.02 * noise.random()) + (noise.random() < 0.1) * 5

    _, blocks = replay(slowed(1.0), slowed(0.4))
    latency = pairing.latency_ratio(*blocks, seed=0)
    assert latency.low <= latency.value <= latency.high
    assert latency.value == pytest.approx(0.4, rel=0.05)
    assert latency.confidence == 0.95


def test_a_round_counts_both_blocks():
    assert pairing.round_medians(((1.0, 2.0), (3.0,), (5.0,), (7.0,))) == [2.0, 6.0]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.8, 1.1, ["contains 1"]),
        (0.98, 0.99, ["so close to 1"]),
        (1.01, 1.02, ["so close to 1"]),
        (0.5, 0.9, []),
        (1.1, 1.3, []),
    ],
)
def test_a_ratio_that_may_be_one_is_said_aloud(low, high, said):
    notes = pairing.ratio_notes(RatioInterval((low + high) / 2, low, high, 0.95))
    assert len(notes) == len(said)
    assert all(words in note for words, note in zip(said, notes, strict=True))


def test_a_quiet_machine_needs_no_note():
    assert pairing.noise_notes([1.0, 1.01, 0.99, 1.0, 1.02, 1.0, 0.99, 1.0], QUIET) == []


@pytest.mark.parametrize(
    ("medians", "environment", "said"),
    [
        ([1.0, 1.3, 0.8, 1.0, 1.4, 0.7, 1.0, 1.3, 0.8], QUIET, "noisy: rounds of one model spread"),
        ([1.0] * 3 + [1.04] * 3 + [1.08] * 3, QUIET, "became 8% slower"),
        ([1.08] * 3 + [1.04] * 3 + [1.0] * 3, QUIET, "became 7% faster"),
        ([1.0] * 8, QUIET | {"cores": 1, "load_average": {"start": [2.5], "end": None}}, "busy"),
        ([1.0] * 8, QUIET | {"memory": "ru_maxrss"}, "upper bound"),
        ([1.0] * 8, QUIET | {"memory": "none"}, "does not say how much memory"),
        ([1.0] * 8, QUIET | {"memory": "VmHWM without reset"}, "cannot reset"),
    ],
)
def test_each_kind_of_trouble_has_its_note(medians, environment, said):
    (note,) = pairing.noise_notes(medians, environment)
    assert said in note
