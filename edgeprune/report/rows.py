"""What a report says, as titled rows of text: written once, laid out by every format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from edgeprune.report import quantities as q
from edgeprune.report.compare import file_bytes, ratio
from edgeprune.report.quantities import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from edgeprune.report.document import Latency, Recovery, ReportDocument, Side

Row: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A table of text.

    Attributes:
        title: Its heading.
        header: Column names; the first column names the row.
        rows: As many cells each as the header.
        brief: Whether it belongs on a screen; all belong in a file.
    """

    title: str
    header: Row
    rows: tuple[Row, ...]
    brief: bool = True


def sections(report: ReportDocument) -> tuple[Section, ...]:
    """Everything the report says; a section without rows is left out."""
    told = (
        figures(report),
        Section("Verdicts", ("", "finding"), tuple(_verdicts(report))),
        Section("Gates", ("gate", "value", "verdict"), tuple(_gates(report))),
        Section("Stages", ("stage", "status", "time", "detail"), tuple(_stages(report)), False),
        Section(
            "Recovery", ("method", "time", "images", "detail"), tuple(_recovery(report)), False
        ),
        Section("Locked layers", ("layer", "MACs", "reason"), tuple(_locked(report)), False),
        Section("Environment", ("", "value"), tuple(_environment(report)), False),
    )
    return tuple(section for section in told if section.rows)


def title(report: ReportDocument) -> str:
    """What the report is about, in one line."""
    if report.model:
        return f"{report.model.name} compressed"
    names = [side.onnx.path for side in (report.original, report.compressed) if side and side.onnx]
    return " against ".join(reversed(names)) or "edgeprune"


def figures(report: ReportDocument) -> Section:
    """Before and after; one column of figures when there is only one model."""
    rows = (*_costs(report), *_predictions(report))
    if report.compressed is None:
        return Section("Figures", ("", "model"), tuple(row[:2] for row in rows))
    header = ("", "original", "compressed", "compressed / original")
    return Section("Before and after", header, rows)


@dataclass(frozen=True, slots=True)
class Figure:
    """A row of the main table: how it is found in a side, and how it is written."""

    name: str
    of: Callable[[Side], float | None]
    write: Callable[[float | None], str]


FIGURES = (
    Figure("MACs", lambda side: side.macs, q.count),
    Figure("parameters", lambda side: side.params, q.count),
    Figure("file size", file_bytes, q.size),
    Figure("peak activations", lambda side: side.peak_activation_bytes, q.size),
    Figure("latency, median", lambda side: _latency(side, "median"), q.duration),
    Figure("latency, p90", lambda side: _latency(side, "p90"), q.duration),
    Figure("latency, p99", lambda side: _latency(side, "p99"), q.duration),
    Figure("peak memory", lambda side: side.peak_rss_bytes, q.size),
    Figure("memory, idle", lambda side: side.idle_rss_bytes, q.size),
    Figure("time to load", lambda side: side.load_s, q.duration),
    Figure("first inference", lambda side: side.first_s, q.duration),
)


def _latency(side: Side, quantile: str) -> float | None:
    found: Latency | None = side.latency_s
    return None if found is None else float(getattr(found, quantile))


def _costs(report: ReportDocument) -> Iterator[Row]:
    for figure in FIGURES:
        before = figure.of(report.original)
        after = figure.of(report.compressed) if report.compressed else None
        if before is None and after is None:
            continue
        change = q.times(ratio(after, before))
        interval = report.ratio and report.ratio.latency
        if figure.name == "latency, median" and interval:
            change = q.times(interval.value, interval.low, interval.high)
        yield figure.name, figure.write(before), figure.write(after), change


def _predictions(report: ReportDocument) -> Iterator[Row]:
    if found := report.accuracy:
        name = f"{found.metric} accuracy"
        yield name, q.percent(found.original), q.percent(found.recovered), q.points(-found.drop)
    if agreed := report.agreement:
        yield "agreement with original", q.percent(1.0), q.percent(agreed.recovered), UNKNOWN


def _verdicts(report: ReportDocument) -> Iterator[Row]:
    if budget := report.budget:
        asked, reached = (_in(budget.unit, value) for value in (budget.asked, budget.reached))
        yield "budget", f"{budget.kind}: asked {asked}, reached {reached}"
    if proof := report.surgery:
        holds = proof.max_rel_diff is not None and proof.max_rel_diff <= proof.tolerance
        exempt = f"; compared by type: {', '.join(proof.exempt)}" if proof.exempt else ""
        largest = f"{q.difference(proof.max_rel_diff)} at most (tolerance {proof.tolerance:.0e})"
        verdict = "proved" if holds else "NOT proved"
        yield "surgery", f"{verdict}: differs from the masked original by {largest}{exempt}"
    for step in report.recovery:
        yield "recovery", f"{step.method}: {step.detail}"
        yield from _quality(step)
    yield from _parity(report)
    if coverage := report.coverage:
        share = q.percent(coverage.prunable_macs_share)
        yield "coverage", f"{share} of the MACs could be pruned, {_locked_share(report)} locked"
    if found := report.accuracy:
        yield "accuracy", f"{q.percent(found.pruned)} before recovery, {_n(found.n, 'image')}"
    if agreed := report.agreement:
        before = q.percent(agreed.pruned)
        yield "agreement", f"{before} before recovery, {_n(agreed.n, 'image')} ({agreed.source})"
    yield from (("note", note) for note in report.notes)


def _quality(step: Recovery) -> Iterator[Row]:
    if found := step.quality:
        aim = "imagined by the original" if found.imagined else "drawn by rule, which need not pass"
        yield "images", f"{step.method}: {found.detail} ({aim})"


def _parity(report: ReportDocument) -> Iterator[Row]:
    if parity := report.parity:
        what = "ONNX against PyTorch" if report.model else "second file against the first"
        batches = ", ".join(map(str, parity.batch_sizes))
        agreed = f"same largest output {q.percent(parity.argmax_agreement)} of the time"
        tried = f"{_n(parity.n, 'input')}, batch {batches or UNKNOWN}"
        differ = f"outputs differ by {q.difference(parity.max_rel_diff)} of their largest at most"
        yield "parity", f"{what}: {differ}, {agreed} ({tried})"


def _gates(report: ReportDocument) -> Iterator[Row]:
    for gate in report.gates:
        values = ", ".join(f"{path} = {value:.4g}" for path, value in gate.values.items())
        yield gate.expression, values, "passed" if gate.passed else "FAILED"


def _stages(report: ReportDocument) -> Iterator[Row]:
    for stage in report.stages:
        yield stage.name, stage.status, q.duration(stage.seconds), stage.detail


def _recovery(report: ReportDocument) -> Iterator[Row]:
    for step in report.recovery:
        yield step.method, q.duration(step.seconds), str(step.images), step.detail


def _locked(report: ReportDocument) -> Iterator[Row]:
    for locked in report.coverage.locked if report.coverage else ():
        yield locked.layer, q.percent(locked.macs_share), locked.reason


def _locked_share(report: ReportDocument) -> str:
    return _n(len(report.coverage.locked) if report.coverage else 0, "layer")


def _environment(report: ReportDocument) -> Iterator[Row]:
    yield "edgeprune", report.edgeprune
    yield "created", report.created
    yield "command", report.command
    yield "seed", str(report.seed)
    for key, value in report.environment.items():
        if value is not None:
            yield key, _listed(value)


def _listed(value: object) -> str:
    if isinstance(value, dict):
        return _joined(f"{name} {version}" for name, version in value.items())
    return _joined(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(parts)


def _n(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _in(unit: str, value: float | None) -> str:
    write = {"ratio": q.percent, "s": q.duration, "bytes": q.size}.get(unit, q.count)
    return write(value)
