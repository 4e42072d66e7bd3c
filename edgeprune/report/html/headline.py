"""The headline: the figures that decide, in large, and the verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from edgeprune import units
from edgeprune.report import sentences, summary
from edgeprune.report.compare import ratio
from edgeprune.report.figures import TILE, shown_on
from edgeprune.report.quality import delivered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeprune.report.document import Parity, ReportDocument
    from edgeprune.report.figures import Figure

Tone: TypeAlias = Literal["good", "bad", "note", "plain"]


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure in large.

    Attributes:
        label: Name of the figure.
        figure: Its value, as text.
        detail: What the value is made of, and how sure it is.
        tone: Whether the value is good or bad news.
    """

    label: str
    figure: str
    detail: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A finding in a few words."""

    label: str
    finding: str
    tone: Tone


def tiles(report: ReportDocument) -> Iterator[Tile]:
    """The figures of the headline: ratios, or those of the only model."""
    if report.model:
        yield _accuracy(report)
    yield from _latency(report)
    for figure in shown_on(TILE):
        yield from _tile(report, figure)
    if agreed := report.agreement:
        detail = f"with the original, on {agreed.n} images that recovery never saw"
        yield Tile("Agreement", units.percent(delivered(report, agreed)), detail)


def _accuracy(report: ReportDocument) -> Tile:
    """Accuracy, or that nobody knows it, with what can be told all the same."""
    line = summary.accuracy(report)
    if found := report.accuracy:
        change = f"from {units.percent(found.original)}, {line.change}, {found.n} images"
        detail = f"{change}; {units.percent(found.pruned)} before recovery"
        name = f"{found.metric} accuracy"
        return Tile(name, units.percent(found.original - found.drop), detail, line.tone)
    figure = "likely lost" if line.tone == "bad" else "not measured"
    return Tile("Accuracy", figure, line.text, line.tone)


def _latency(report: ReportDocument) -> Iterator[Tile]:
    before, after = (side and side.latency_s for side in (report.original, report.compressed))
    interval = report.ratio.latency if report.ratio else None
    if interval and before and after:
        confidence = units.whole_percent(interval.confidence)
        span = f"{interval.low:.2f}–{interval.high:.2f} with {confidence} confidence"
        tone: Tone = "good" if interval.high < 1 else "bad" if interval.low > 1 else "plain"
        both = (before.p5, after.p5) if before.p5 and after.p5 else (before.median, after.median)
        change = " → ".join(map(units.duration, both))
        yield Tile("Latency", units.times(interval.value), f"{change}; {span}", tone)
    elif before:
        detail = f"median of {before.n} inferences; 99% within {units.duration(before.p99)}"
        yield Tile("Latency", units.duration(before.median), detail)


def _tile(report: ReportDocument, figure: Figure) -> Iterator[Tile]:
    label = figure.label[0].upper() + figure.label[1:]
    before = figure.of(report.original)
    after = figure.of(report.compressed) if report.compressed else None
    if before is None:
        return
    if report.compressed is None:
        yield Tile(label, figure.write(before), "")
    elif (change := ratio(after, before)) is not None:
        tone: Tone = "good" if change < 1 else "bad" if change > 1 else "plain"
        both = f"{figure.write(before)} → {figure.write(after)}"
        yield Tile(label, units.times(change), both, tone)


def verdicts(report: ReportDocument) -> Iterator[Verdict]:
    """The findings, gates first: they are what the reader asked."""
    if report.gates:
        passed = sum(gate.passed for gate in report.gates)
        finding = f"{passed} of {len(report.gates)} passed"
        yield Verdict("Gates", finding, "good" if passed == len(report.gates) else "bad")
    if report.budget and report.budget.missed:
        yield Verdict("Budget", "not reached", "bad")
    if proof := report.surgery:
        tone: Tone = "good" if sentences.holds(proof) else "bad"
        yield Verdict("Surgery", sentences.exactness(proof), tone)
    if parity := report.parity:
        yield _parity(parity, exported=report.model is not None)
    if fell_short := [stage.name for stage in report.stages if stage.status in FELL_SHORT]:
        yield Verdict("Fell short", ", ".join(fell_short), "bad")


def _parity(parity: Parity, *, exported: bool) -> Verdict:
    finite = parity.max_rel_diff is not None
    if exported:
        return Verdict("Export", sentences.verified(parity), "good" if finite else "bad")
    differ = f"differ by {units.difference(parity.max_rel_diff)} at most"
    return Verdict("Outputs", differ, "plain" if finite else "bad")


FELL_SHORT = ("degraded", "failed")


def made_with(report: ReportDocument) -> str:
    """The machine and the versions behind the figures, in one line."""
    known = report.environment
    threads = known.get("threads")
    parts = (
        known.get("cpu"),
        known.get("runtime"),
        None if threads is None else sentences.number(threads, "thread"),
        f"edgeprune {report.edgeprune}",
        report.created,
    )
    return " · ".join(str(one) for one in parts if one) or units.UNKNOWN
