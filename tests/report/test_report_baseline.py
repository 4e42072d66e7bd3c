"""A report against an earlier one: the interval is honest, and unlike machines are told apart."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import page_examples
import pytest
import scipy.stats
from page_examples import alone, compressed, latency

from edgeprune.errors import UsageError
from edgeprune.report import baseline, gates, rows

if TYPE_CHECKING:
    from edgeprune.report.document import ReportDocument


def elsewhere(**changes: object) -> ReportDocument:
    return replace(compressed(), environment={**page_examples.ENVIRONMENT, **changes})


def session_logs(timed: object) -> list[float]:
    """The logarithm of the fastest twentieth's bound in each session, cut out with numpy."""
    ends = np.cumsum(timed.sessions) * 10  # type: ignore[attr-defined]
    return [float(np.log(np.quantile(part, 0.05))) for part in np.split(timed.samples, ends[:-1])]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("now", "then"), [(5, 5), (2, 5), (3, 8)])
def test_the_interval_is_welchs(now: int, then: int) -> None:
    later, earlier = latency(2e-3, now, seed=1), latency(1e-3, then, seed=2)
    found = baseline.latency_ratio(later, earlier)
    test = scipy.stats.ttest_ind(session_logs(later), session_logs(earlier), equal_var=False)
    interval = test.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(
        (math.exp(interval.low), math.exp(interval.high))
    )
    assert found.confidence == 0.95


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = random.Random(0)
    held = 0
    for trial in range(300):
        sides = (latency(1e-3, rng.choice((3, 4, 6)), 2 * trial + n, luck=0.02) for n in range(2))
        found = baseline.latency_ratio(*sides)
        held += found.low <= 1 <= found.high
    assert 0.92 <= held / 300 <= 0.99


def test_the_other_way_round_is_the_reciprocal() -> None:
    there, back = (
        baseline.latency_ratio(*pair)
        for pair in itertools.permutations((latency(1e-3, seed=3), latency(2e-3, seed=4)))
    )
    assert there.value * back.value == pytest.approx(1)
    assert there.low * back.high == pytest.approx(1)


def test_a_single_session_cannot_show_the_luck_of_its_process() -> None:
    one = replace(latency(1e-3, sessions=1), sessions=())
    found = baseline.latency_ratio(one, one)
    reach = 1.96 * math.sqrt(2) * baseline.PROCESS_LUCK
    assert found.value == pytest.approx(1)
    assert math.log(found.high) >= 0.999 * reach
    assert math.log(found.low) == pytest.approx(-math.log(found.high))


def test_ratios_are_those_of_the_deliverables() -> None:
    found = baseline.against(compressed(), alone(), "old.json").baseline
    assert found is not None
    assert (found.macs, found.params) == pytest.approx((0.6, 0.6), rel=1e-4)
    assert (found.bytes, found.peak_rss) == pytest.approx((0.6, 0.6), rel=1e-4)
    assert found.latency is not None
    assert found.latency.low < 0.6 < found.latency.high
    assert found.differs == ()


@pytest.mark.parametrize("key", baseline.IDENTITY)
def test_latency_is_not_compared_between_unlike_machines(key: str) -> None:
    report = baseline.against(elsewhere(**{key: "other"}), compressed(), "old.json")
    found = report.baseline
    assert found is not None
    assert (found.latency, found.peak_rss, found.macs) == (None, None, 1.0)
    assert found.differs == (f"{key} was {page_examples.ENVIRONMENT[key]} and is other",)
    assert gates.judge(report, ["baseline.macs > 1.1"]).gates[0].passed
    with pytest.raises(UsageError, match=f"not measured alike: {key} was"):
        gates.judge(report, ["baseline.latency.low > 1.05"])


def test_versions_that_run_the_model_count_and_those_that_make_it_do_not() -> None:
    other = elsewhere(packages={"onnxruntime": "1.30", "numpy": "1.0", "torch": "2"})
    found = baseline.against(compressed(), other, "old.json").baseline
    assert found is not None
    assert found.differs == ("onnxruntime was 1.30 and is 1.31.1",)


def test_gates_and_tables_show_what_was_found() -> None:
    report = baseline.against(compressed(), compressed(), "old.json")
    judged = gates.judge(report, ["baseline.latency.low > 1.05", "baseline.bytes > 101%"])
    assert [gate.passed for gate in judged.gates] == [True, True]
    shown = dict(rows.against_baseline(judged))
    assert shown["latency"].startswith("1.00× (")
    assert [shown[label] for label in ("MACs", "parameters", "file size", "peak memory")] == [
        "1.00×"
    ] * 4
    assert shown["report"] == "old.json, of 2026-01-02T03:04:05+00:00"
    assert dict(rows.against_baseline(compressed())) == {}


def test_without_a_baseline_a_gate_on_it_says_how_to_get_one() -> None:
    with pytest.raises(UsageError, match="--baseline"):
        gates.judge(compressed(), ["baseline.latency.low > 1.05"])
