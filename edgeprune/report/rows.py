"""What a report says, as titled rows of text: written once, laid out by every format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from edgeprune import units as q
from edgeprune.report.compare import file_bytes, ratio
from edgeprune.report.runtime_rows import HEADER, parity_verdict, runtime_rows
from edgeprune.units import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from edgeprune.report.document import (
        Budget,
        Gate,
        Latency,
        Recovery,
        ReportDocument,
        Side,
        Surgery,
    )

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
        Section("Against the baseline", ("", "now / then"), tuple(against_baseline(report))),
        Section("Runtimes", HEADER, tuple(runtime_rows(report))),
        Section("Verdicts", ("", "finding"), tuple(_verdicts(report))),
        Section("Gates", ("gate", "value", "verdict"), tuple(_gates(report))),
        Section("Stages", ("stage", "status", "time", "detail"), tuple(_stages(report)), False),
        Section(
            "Recovery", ("method", "time", "images", "detail"), tuple(_recovery(report)), False
        ),
        Section("Layers", LAYER_HEADER, tuple(_layers(report)), False),
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
    Figure("latency, undisturbed", lambda side: _latency(side, "p5"), q.duration),
    Figure("latency, median", lambda side: _latency(side, "median"), q.duration),
    Figure("latency, p90", lambda side: _latency(side, "p90"), q.duration),
    Figure("latency, p99", lambda side: _latency(side, "p99"), q.duration),
    Figure("instructions (arm64, emulated)", lambda side: _instructions(side), q.count),
    Figure("throughput", lambda side: side.inferences_per_s, q.rate),
    Figure("peak memory", lambda side: side.peak_rss_bytes, q.size),
    Figure("memory, loading", lambda side: side.load_peak_rss_bytes, q.size),
    Figure("memory, idle", lambda side: side.idle_rss_bytes, q.size),
    Figure("memory, running", lambda side: side.run_peak_rss_bytes, q.size),
    Figure("memory, allocated", lambda side: side.profile_peak_bytes, q.size),
    Figure("time to load", lambda side: side.load_s, q.duration),
    Figure("first inference", lambda side: side.first_s, q.duration),
)


def _instructions(side: Side) -> int | None:
    return side.instructions.per_inference if side.instructions else None


def _latency(side: Side, quantile: str) -> float | None:
    found: Latency | None = side.latency_s
    return None if found is None else getattr(found, quantile)


def _costs(report: ReportDocument) -> Iterator[Row]:
    interval = report.ratio and report.ratio.latency
    for figure in FIGURES:
        before = figure.of(report.original)
        after = figure.of(report.compressed) if report.compressed else None
        if before is None and after is None:
            continue
        change = q.times(ratio(after, before))
        if interval and figure.name.startswith("latency"):
            change = q.times(interval.value, interval.low, interval.high)
            interval = None  # it belongs to the first: medians in reports of older versions
        yield figure.name, figure.write(before), figure.write(after), change


def _predictions(report: ReportDocument) -> Iterator[Row]:
    if found := report.accuracy:
        name = f"{found.metric} accuracy"
        yield name, q.percent(found.original), q.percent(found.recovered), q.points(-found.drop)
    if agreed := report.agreement:
        yield "agreement with original", q.percent(1.0), q.percent(agreed.recovered), UNKNOWN


def against_baseline(report: ReportDocument) -> Iterator[Row]:
    """How the model stands against the one of the baseline; nothing without one."""
    if found := report.baseline:
        yield "report", f"{found.path}, of {found.created}"
        if latency := found.latency:
            told = q.times(latency.value, latency.low, latency.high)
            yield "latency", f"{told}, between runs"
        named = (("MACs", found.macs), ("parameters", found.params), ("file size", found.bytes))
        for name, value in (*named, ("peak memory", found.peak_rss)):
            if value is not None:
                yield name, q.times(value)
        if found.differs:
            yield "not compared", f"latency and memory: {'; '.join(found.differs)}"


def _verdicts(report: ReportDocument) -> Iterator[Row]:
    if report.budget:
        asked, reached = budget(report.budget)
        yield "budget", f"{report.budget.kind}: asked {asked}, reached {reached}"
    if proof := report.surgery:
        exempt = f"; compared by type: {', '.join(proof.exempt)}" if proof.exempt else ""
        largest = f"{q.difference(proof.max_rel_diff)} at most (tolerance {proof.tolerance:.0e})"
        verdict = "proved" if holds(proof) else "NOT proved"
        yield "surgery", f"{verdict}: differs from the masked original by {largest}{exempt}"
    for step in report.recovery:
        yield "recovery", f"{step.method}: {step.detail}"
        yield from _quality(step)
    yield from _parity(report)
    yield from parity_verdict(report)
    if coverage := report.coverage:
        share = q.percent(coverage.prunable_macs_share)
        yield "coverage", f"{share} of the MACs could be pruned, {_locked_share(report)} locked"
    if found := report.accuracy:
        yield "accuracy", f"{q.percent(found.pruned)} before recovery, {_n(found.n, 'image')}"
    if agreed := report.agreement:
        before = q.percent(agreed.pruned)
        yield "agreement", f"{before} before recovery, {_n(agreed.n, 'image')} ({agreed.source})"
    yield from (("note", note) for note in report.notes)


def budget(found: Budget) -> tuple[str, str]:
    """What was asked and what was reached."""
    asked, reached = (_in(found.unit, value) for value in (found.asked, found.reached))
    return asked, reached


def holds(proof: Surgery) -> bool:
    """Whether surgery was right; a difference that is not finite proves nothing."""
    return proof.max_rel_diff is not None and proof.max_rel_diff <= proof.tolerance


def _quality(step: Recovery) -> Iterator[Row]:
    if found := step.quality:
        aim = "synthesized" if found.imagined else "procedural, which need not pass"
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
        yield gate.expression, values(gate), "passed" if gate.passed else "FAILED"


def values(gate: Gate) -> str:
    """What a gate found: "ratio.macs = 0.5"."""
    return _joined(f"{path} = {value:.4g}" for path, value in gate.values.items())


def _stages(report: ReportDocument) -> Iterator[Row]:
    for stage in report.stages:
        yield stage.name, stage.status, q.duration(stage.seconds), stage.detail


def _recovery(report: ReportDocument) -> Iterator[Row]:
    for step in report.recovery:
        yield step.method, q.duration(step.seconds), str(step.images), step.detail


LAYER_HEADER = ("layer", "kind", "channels", "MACs", "parameters")


def _layers(report: ReportDocument) -> Iterator[Row]:
    for layer in report.layers:
        before, after = layer.before, layer.after
        yield (
            layer.name,
            layer.kind,
            _change(before.channels, after.channels if after else None, _whole),
            _change(before.macs, after.macs if after else None, q.count),
            _change(before.params, after.params if after else None, q.count),
        )


def _change(before: int | None, after: int | None, write: Callable[[float | None], str]) -> str:
    """What became of a figure, told once where it stayed."""
    return write(before) if before == after else f"{write(before)} → {write(after)}"


def _whole(number: float | None) -> str:
    return UNKNOWN if number is None else f"{number:.0f}"


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
