"""This report against an earlier one: did the model become slower, larger, hungrier since?

The two were measured at different times, so nothing pairs them. What repeats is the session, a
fresh process: its luck with memory lasts as long as it lives and is drawn anew in the next one.
Each report therefore gives one figure a session, the logarithm of the latency that a twentieth of
its runs stay below, because nothing interrupted those (``ratio.latency`` is of the same). The
interval is that of two means with unequal variances: B. L. Welch, "The Generalization of
'Student's' Problem when several different Population Variances are Involved", Biometrika 34, 1947.
With few sessions it is wide, as it has to be.

Latencies compare on the same machine, runtime and settings alone. MACs, parameters and bytes do
not depend on them, so a baseline of another machine still serves those; a gate on its latency ends
with an error that names what differs.
"""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgeprune import stats
from edgeprune.artifacts import RatioInterval
from edgeprune.report.compare import ratio
from edgeprune.report.document import Baseline
from edgeprune.report.figures import BASELINE, shown_on

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edgeprune.report.document import Latency, ReportDocument, Side
    from edgeprune.report.figures import Figure

CONFIDENCE = 0.95

PROCESS_LUCK = 0.015
"""How much the latency of one file changes from process to process: standard deviation of its
logarithm. Taken for reports that hold a single session, which cannot show it."""

IDENTITY = ("machine", "cpu", "cores", "governor", "os", "device", "runtime", "threads")
"""Keys of ``environment`` that latency depends on, besides the model."""

BUILDERS = frozenset(("edgeprune", "torch", "torchvision", "onnx", "onnxsim", "numpy"))
"""Packages that make or feed a model and do not run it; all others of both reports must agree."""


def against(now: ReportDocument, then: ReportDocument, path: str) -> ReportDocument:
    """``now`` with its part ``baseline`` filled.

    Args:
        now: The report to judge.
        then: An earlier report.
        path: Path of the earlier report, for people.
    """
    new, old = _final(now), _final(then)
    differs = tuple(differences(now.environment, then.environment))
    latency = None
    if new.latency_s and old.latency_s and not differs:
        latency = latency_ratio(new.latency_s, old.latency_s)
    divided: dict[str, Any] = {
        figure.ratio: None if differs and figure.filled_by != "file" else _ratio(figure, new, old)
        for figure in shown_on(BASELINE)
    }
    found = Baseline(path=path, created=then.created, latency=latency, differs=differs, **divided)
    return replace(now, baseline=found)


def differences(now: Mapping[str, Any], then: Mapping[str, Any]) -> Iterator[str]:
    """The differences of two environments: "cpu was Abacus 9000 and is Abacus 9001"."""
    for key in IDENTITY:
        if now.get(key) != then.get(key):
            yield f"{key} was {_text(then.get(key))} and is {_text(now.get(key))}"
    shapes = [environment.get("shapes") or {} for environment in (now, then)]
    for name in sorted(shapes[0].keys() & shapes[1].keys()):
        if shapes[0][name] != shapes[1][name]:
            yield f"{name} was {shapes[1][name]} and is {shapes[0][name]}"
    new, old = (environment.get("packages") or {} for environment in (now, then))
    for name in sorted((new.keys() & old.keys()) - BUILDERS):
        if new[name] != old[name]:
            yield f"{name} was {old[name]} and is {new[name]}"


def latency_ratio(now: Latency, then: Latency) -> RatioInterval:
    """The ratio of two latencies, now / then, with its 95 % interval over repeated runs."""
    later, earlier = _level(now), _level(then)
    variance = later.variance + earlier.variance
    uncertain = sum(
        level.variance**2 / level.freedom for level in (later, earlier) if level.variance
    )
    freedom = variance**2 / uncertain if uncertain else math.inf
    reach = stats.student((1 + CONFIDENCE) / 2, freedom) * math.sqrt(variance)
    value = later.mean - earlier.mean
    low, high = value - reach, value + reach
    return RatioInterval(math.exp(value), math.exp(low), math.exp(high), CONFIDENCE)


@dataclass(frozen=True, slots=True)
class _Level:
    """The mean logarithm of a latency over sessions, its variance, and the degrees of freedom."""

    mean: float
    variance: float
    freedom: float


def _level(latency: Latency) -> _Level:
    sessions = latency.parts(_session_lengths(latency))
    logs = [math.log(stats.quantile(session, stats.P5)) for session in sessions]
    if len(logs) > 1:
        return _Level(
            statistics.fmean(logs), statistics.variance(logs) / len(logs), len(logs) - 1.0
        )
    blocks = [math.log(stats.median(block)) for block in latency.parts(latency.blocks)]
    within = statistics.variance(blocks) / len(blocks) if len(blocks) > 1 else 0.0
    return _Level(logs[0], within + PROCESS_LUCK**2, math.inf)


def _session_lengths(latency: Latency) -> tuple[int, ...]:
    """Samples in each session; one session in reports from before there were several."""
    blocks = iter(latency.blocks)
    return tuple(sum(itertools.islice(blocks, n)) for n in latency.sessions) or (latency.n,)


def _ratio(figure: Figure, now: Side, then: Side) -> float | None:
    return ratio(figure.of(now), figure.of(then))


def _final(report: ReportDocument) -> Side:
    return report.compressed or report.original


def _text(value: object) -> str:
    return "not known" if value is None else str(value)
