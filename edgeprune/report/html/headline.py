"""What a reader must know first: the figures that decide, in large, and what was proved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from edgeprune import units as q
from edgeprune.report import rows
from edgeprune.report.compare import file_bytes, ratio
from edgeprune.units import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgeprune.report.document import ReportDocument, Side

Tone: TypeAlias = Literal["good", "bad", "plain"]


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure in large.

    Attributes:
        label: What it is.
        figure: It.
        detail: What it is made of, and how sure it is.
        tone: Whether it is what compression is for.
    """

    label: str
    figure: str
    detail: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Something that was proved or judged, in a few words."""

    label: str
    finding: str
    tone: Tone


def tiles(report: ReportDocument) -> Iterator[Tile]:
    """The figures of the headline: ratios, or those of the only model."""
    yield from _latency(report)
    for label, of, write in SIZES:
        yield from _size(report, label, of, write)
    if found := report.accuracy:
        change = f"from {q.percent(found.original)}, {q.points(-found.drop)}"
        detail = f"{change}; {q.percent(found.pruned)} before recovery"
        yield Tile(f"{found.metric} accuracy", q.percent(found.recovered), detail)
    if agreed := report.agreement:
        detail = f"with the original, on {agreed.n} images that recovery never saw"
        yield Tile("Agreement", q.percent(agreed.recovered), detail)


SIZES: tuple[tuple[str, Callable[[Side], int | None], Callable[[float | None], str]], ...] = (
    ("MACs", lambda side: side.macs, q.count),
    ("File size", file_bytes, q.size),
    ("Peak memory", lambda side: side.peak_rss_bytes, q.size),
)
"""Label, where it is in a side, and how it is written."""


def _latency(report: ReportDocument) -> Iterator[Tile]:
    before, after = (side and side.latency_s for side in (report.original, report.compressed))
    interval = report.ratio.latency if report.ratio else None
    if interval and before and after:
        span = f"{interval.low:.2f}–{interval.high:.2f} with {interval.confidence:.0%} confidence"
        tone: Tone = "good" if interval.high < 1 else "bad" if interval.low > 1 else "plain"
        both = (before.p5, after.p5) if before.p5 and after.p5 else (before.median, after.median)
        change = " → ".join(map(q.duration, both))
        yield Tile("Latency", q.times(interval.value), f"{change}; {span}", tone)
    elif before:
        detail = f"median of {before.n} inferences; 99% within {q.duration(before.p99)}"
        yield Tile("Latency", q.duration(before.median), detail)


def _size(
    report: ReportDocument,
    label: str,
    of: Callable[[Side], int | None],
    write: Callable[[float | None], str],
) -> Iterator[Tile]:
    before, after = of(report.original), of(report.compressed) if report.compressed else None
    if before is None:
        return
    if report.compressed is None:
        yield Tile(label, write(before), "")
    elif (change := ratio(after, before)) is not None:
        tone: Tone = "good" if change < 1 else "bad" if change > 1 else "plain"
        yield Tile(label, q.times(change), f"{write(before)} → {write(after)}", tone)


def verdicts(report: ReportDocument) -> Iterator[Verdict]:
    """Gates first: they are what the reader asked."""
    if report.gates:
        passed = sum(gate.passed for gate in report.gates)
        told = f"{passed} of {len(report.gates)} passed"
        yield Verdict("Gates", told, "good" if passed == len(report.gates) else "bad")
    if budget := report.budget:
        asked, reached = rows.budget(budget)
        yield Verdict("Budget", f"{budget.kind}: asked {asked}, reached {reached}", "plain")
    if proof := report.surgery:
        holds = rows.holds(proof)
        yield Verdict("Surgery", "proved" if holds else "NOT proved", "good" if holds else "bad")
    if parity := report.parity:
        what = "Export" if report.model else "Outputs"
        differ = "differ by " + q.difference(parity.max_rel_diff) + " at most"
        yield Verdict(what, differ, "bad" if parity.max_rel_diff is None else "plain")
    if fell_short := [stage.name for stage in report.stages if stage.status in FELL_SHORT]:
        yield Verdict("Fell short", ", ".join(fell_short), "bad")
    if coverage := report.coverage:
        share = q.percent(coverage.prunable_macs_share)
        yield Verdict("Coverage", f"{share} of the MACs prunable", "plain")


FELL_SHORT = ("degraded", "failed")


def made_with(report: ReportDocument) -> str:
    """Where and with what, in one line."""
    known = report.environment
    threads = known.get("threads")
    told = (
        known.get("cpu"),
        known.get("runtime"),
        None if threads is None else f"{threads} thread{'' if threads == 1 else 's'}",
        f"edgeprune {report.edgeprune}",
        report.created,
    )
    return " · ".join(str(one) for one in told if one) or UNKNOWN
