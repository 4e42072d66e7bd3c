"""When a measurement ends, and whether its interval holds the truth as often as it says."""

from __future__ import annotations

import itertools
import math
import os
import random
import signal
from types import SimpleNamespace

import pytest
from replay import Replay
from scipy.stats import binomtest, gamma

from edgeprune import bench
from edgeprune.artifacts import no_progress
from edgeprune.bench import sessions
from edgeprune.errors import DeviceFailed, DeviceLost

SETTINGS = {"seconds": 1e9, "within": 0.01}


def gather(figures, **settings):
    """Sessions that give these figures, in order."""
    given = iter(figures)
    run_session = lambda number: SimpleNamespace(figure=next(given))  # noqa: E731
    return sessions.gather(run_session, **{**SETTINGS, "progress": no_progress, **settings})


PSEUDOMEDIAN = gamma(8).median() / 2
"""The centre of gamma(4): the median of the mean of two values."""

SCATTER = {
    "normal": lambda noise: noise.gauss(0, 1),
    "heavy tails": lambda noise: noise.gauss(0, 1) * (5 if noise.random() < 0.1 else 0.8),
    "two humps": lambda noise: noise.choice((-0.9, 0.9)) + noise.gauss(0, 0.44),
    "skewed": lambda noise: (noise.gammavariate(4, 1) - PSEUDOMEDIAN) / 2,
}


@pytest.mark.parametrize("spread", [0.008, 0.016])
@pytest.mark.parametrize("kind", SCATTER)
def test_the_interval_holds_the_truth_though_it_decides_when_to_stop(kind, spread):
    """Few trials see no difference: benchmarks/bench/interval_coverage.py has more of them."""
    noise, trials, truth = random.Random(f"{kind}{spread}"), 4000, 0.05
    draw = SCATTER[kind]
    series = [
        gather(truth + spread * draw(noise) for _ in itertools.count()) for _ in range(trials)
    ]
    covered = sum(one.estimate.low <= truth <= one.estimate.high for one in series)
    assert binomtest(covered, trials, 0.95, alternative="less").pvalue > 1e-3
    assert all(one.within <= 0.01 or len(one.sessions) == 100 for one in series)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_interval_of_few_sessions_holds_the_truth(count):
    noise, trials = random.Random(count), 600
    covered = 0
    for _ in range(trials):
        found = sessions.interval([noise.gauss(0.05, 0.01) for _ in range(count)])
        covered += found.low <= 0.05 <= found.high
    assert binomtest(covered, trials, 0.95).pvalue > 1e-3


def test_sessions_that_agree_are_enough_at_the_first_look():
    assert len(gather([0.05] * 100).sessions) == sessions.ENOUGH == 6


def wild():
    noise = random.Random(0)
    return [noise.gauss(0, 1) for _ in range(200)]


def test_sessions_that_never_agree_come_to_an_end():
    assert len(gather(wild()).sessions) == sessions.LOOKS[-1]


def test_intervals_are_looked_at_when_planned_only(monkeypatch):
    looked = []
    interval = sessions.interval
    monkeypatch.setattr(sessions, "interval", lambda f: looked.append(len(f)) or interval(f))
    gather(wild())
    assert looked == list(sessions.LOOKS)


@pytest.mark.parametrize(
    ("took", "seconds", "count"), [(2.0, 1.0, 2), (2.0, 8.0, 4), (2.0, 9.9, 4), (1.0, 5.0, 5)]
)
def test_no_session_starts_that_would_end_too_late(took, seconds, count):
    now = [0.0]

    def run_session(number):
        now[0] += took
        return SimpleNamespace(figure=0.01 * number)

    shares = []
    series = sessions.gather(
        run_session,
        seconds=seconds,
        within=1e-9,
        progress=lambda share, _: shares.append(share),
        clock=lambda: now[0],
    )
    assert len(series.sessions) == count
    assert series.seconds == count * took
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_a_first_session_that_took_long_shortens_no_series():
    now = [0.0]

    def run_session(number):
        now[0] += 0.5 if number else 4.0  # files are copied once
        return SimpleNamespace(figure=0.01 * number)

    series = sessions.gather(
        run_session, seconds=7.0, within=1e-9, progress=no_progress, clock=lambda: now[0]
    )
    assert len(series.sessions) == 7


def lucky(sigma, truth, noise):
    """Processes that each have their luck, a machine that drifts, programs that interrupt."""
    base = {"before": 0.01, "after": 0.01 * truth}
    luck = {}

    def latency(name, start, now):
        own = luck.setdefault(start, math.exp(noise.gauss(0, sigma)))
        drift = 1 + 0.02 * math.sin(now / 500)
        interrupted = noise.random() < 0.4
        return base[name] * own * drift * (1 + 0.003 * noise.random()) + 0.004 * interrupted

    return latency


@pytest.fixture
def models(tiny):
    """Two files; what is in them plays no part."""
    paths = tiny.with_name("before.onnx"), tiny.with_name("after.onnx")
    for path in paths:
        path.write_bytes(tiny.read_bytes())
    return paths


def test_luck_drift_and_interruptions_are_within_the_interval(models):
    noise, trials, truth, covered = random.Random(1), 60, 1.05, 0
    for _ in range(trials):
        device = Replay(lucky(0.006, truth, noise))
        found = bench.compare(*models, bench.BenchSettings(device=device, seconds=1e9)).latency
        covered += found.low <= truth <= found.high
        assert found.high / found.low < 1.02**2
    assert binomtest(covered, trials, 0.95, alternative="less").pvalue > 1e-3


def test_every_session_starts_both_and_the_first_changes(models):
    device = Replay(lambda name, start, now: 0.01)
    comparison = bench.compare(*models, bench.BenchSettings(device=device, seconds=1e9))
    starts = [name for name, _, _ in device.of("start")]
    assert starts == ["before", "after", "after", "before"] * 3
    assert [cores for _, _, cores in device.of("start")] == [None, [3]] * 6
    assert [profile for _, _, profile in device.of("stop")] == [True] * 2 + [False] * 10
    assert comparison.environment["pinned"] == [3]
    assert comparison.original.profile_peak_bytes == comparison.compressed.profile_peak_bytes == 64
    assert [round(s.load_s, 1) for s in comparison.original.sessions[:3]] == [0.1, 0.4, 0.5]
    assert comparison.latency.low == comparison.latency.high == 1.0


def test_interruptions_move_medians_and_not_the_ratio(models):
    """A slice of 4 ms for another program, in most runs: the medians then lie nearer together."""
    base = {"before": 0.010, "after": 0.011}
    device = Replay(lambda name, start, now: base[name] + 0.04 * (now % 10 > 1))
    comparison = bench.compare(*models, bench.BenchSettings(device=device, seconds=1e9))
    assert comparison.latency.value == pytest.approx(1.1)
    assert any("medians give a ratio of 1.020, outside" in note for note in comparison.notes)


@pytest.mark.parametrize(
    ("latency", "settings", "note"),
    [
        (
            lambda name, start, now: 0.01,
            {"seconds": 1e-9},
            "Only 2 sessions fit into 1e-09 s; the interval is unreliable. Use --seconds ",
        ),
        (
            lambda name, start, now: 0.01 + 0.005 * (start % 3),
            {},
            "allowed; use a larger --seconds",
        ),
        (lambda name, start, now: 0.01, {}, "contains 1"),
        (
            lambda name, start, now: 0.02 if start == 11 else 0.01,
            {"within": 0.5},
            "1 of 6 sessions gave a latency far from the others'",
        ),
    ],
)
def test_what_weakens_a_figure_has_a_note(latency, settings, note, models):
    device = Replay(latency)
    settings = bench.BenchSettings(**{"device": device, "seconds": 1e9, **settings})
    notes = bench.compare(*models, settings).notes
    assert any(note in found for found in notes), notes


def test_one_model_is_measured_in_sessions_too(models):
    device = Replay(lambda name, start, now: 0.01)
    single = bench.measure_alone(models[0], bench.BenchSettings(device=device, seconds=1e9))
    assert len(single.measurement.sessions) == 6
    assert single.notes == ()


class Dropping(Replay):
    """Loses the connection to the first processes."""

    losses = 2

    def start(self, request):
        worker = super().start(request)
        if self.starts <= self.losses:
            raise DeviceLost(f"loss {self.starts}")
        return worker


def test_lost_sessions_are_repeated_with_a_note(models):
    device = Dropping(lambda name, start, now: 0.01)
    comparison = bench.compare(*models, bench.BenchSettings(device=device, seconds=1e9))
    assert len(comparison.original.sessions) == 6
    assert "2 lost sessions were repeated: loss 2" in comparison.notes
    assert comparison.original.profile_peak_bytes == 64


def test_a_device_that_stays_lost_is_given_up(models):
    device = Dropping(lambda name, start, now: 0.01)
    device.losses = 3
    with pytest.raises(DeviceLost, match="loss 3"):
        bench.compare(*models, bench.BenchSettings(device=device))


def test_a_device_that_fails_is_not_tried_again(models):
    class Broken(Replay):
        def start(self, request):
            super().start(request)
            raise DeviceFailed("no such runtime")

    device = Broken(None)
    with pytest.raises(DeviceFailed, match="no such runtime"):
        bench.compare(*models, bench.BenchSettings(device=device))
    assert device.starts == 1


def test_a_real_process_that_is_killed_costs_one_session(tiny):
    started = []

    class Deadly:
        name = "deadly"
        measures = "latency"

        def start(self, request):
            started.append(bench.LocalDevice().start(request))
            if len(started) == 1:
                os.kill(started[0].pid, signal.SIGKILL)
            return started[-1]

    single = bench.measure_alone(tiny, bench.BenchSettings(device=Deadly(), seconds=0.01))
    assert len(started) == 3
    assert len(single.measurement.sessions) == 2
    assert any("1 lost sessions were repeated" in note for note in single.notes)
