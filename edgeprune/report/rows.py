"""A report as titled rows of text: written once, laid out by every format."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from edgeprune import units
from edgeprune.printable import printable
from edgeprune.report import alternative_rows, sentences
from edgeprune.report.compare import ratio
from edgeprune.report.figures import BASELINE, FIGURES, shown_on
from edgeprune.report.precision_rows import precision_rows
from edgeprune.report.quality import delivered
from edgeprune.report.runtime_rows import HEADER, parity_verdict, runtime_rows
from edgeprune.units import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from edgeprune.report.document import Accuracy, Agreement, ReportDocument

Row: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A table of text.

    Attributes:
        title: Its heading.
        header: Column names; the first column names the row.
        rows: Rows of as many cells as the header has.
        brief: Whether it belongs on a screen; all belong in a file.
    """

    title: str
    header: Row
    rows: tuple[Row, ...]
    brief: bool = True


def sections(report: ReportDocument) -> tuple[Section, ...]:
    """All sections of the report; a section without rows is left out."""
    every = (
        figures(report),
        Section("Against the baseline", ("", "now / then"), tuple(against_baseline(report))),
        Section(
            "Instead of pruning",
            alternative_rows.HEADER,
            tuple(alternative_rows.beside(report)),
        ),
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
    return tuple(_printable(section) for section in every if section.rows)


def _printable(section: Section) -> Section:
    """The section without characters that a terminal or a page would act upon."""
    rows = tuple(tuple(map(printable, row)) for row in section.rows)
    return replace(section, rows=rows)


def title(report: ReportDocument) -> str:
    """What the report is about, in one line."""
    if report.model:
        return f"{printable(report.model.name)} compressed"
    names = [side.onnx.path for side in (report.original, report.compressed) if side and side.onnx]
    return printable(" against ".join(reversed(names))) or "edgeprune"


def figures(report: ReportDocument) -> Section:
    """Before and after; one column of figures when there is only one model."""
    rows = (*_costs(report), *_predictions(report))
    if report.compressed is None:
        return Section("Figures", ("", "model"), tuple(row[:2] for row in rows))
    header = ("", "original", "compressed", "compressed / original")
    return Section("Before and after", header, rows)


def _costs(report: ReportDocument) -> Iterator[Row]:
    interval = report.ratio and report.ratio.latency
    for figure in FIGURES:
        before = figure.of(report.original)
        after = figure.of(report.compressed) if report.compressed else None
        if before is None and after is None:
            continue
        change = units.times(ratio(after, before))
        if interval and figure.timed:
            change = units.times(interval.value, interval.low, interval.high)
            interval = None  # it belongs to the first: medians in reports of older versions
        yield figure.label, figure.write(before), figure.write(after), change


def _predictions(report: ReportDocument) -> Iterator[Row]:
    if found := report.accuracy:
        name = f"{found.metric} accuracy"
        before, after = units.percent(found.original), units.percent(found.original - found.drop)
        yield name, before, after, units.points(-found.drop)
    if agreed := report.agreement:
        after = units.percent(delivered(report, agreed))
        yield "agreement with original", units.percent(1.0), after, UNKNOWN


def against_baseline(report: ReportDocument) -> Iterator[Row]:
    """How the model stands against the one of the baseline; nothing without one."""
    if found := report.baseline:
        yield "report", f"{found.path}, of {found.created}"
        if latency := found.latency:
            yield (
                "latency",
                f"{units.times(latency.value, latency.low, latency.high)}, between runs",
            )
        for figure in shown_on(BASELINE):
            value: float | None = getattr(found, figure.ratio)
            if value is not None:
                yield figure.label, units.times(value)
        if found.differs:
            yield "not compared", f"latency and memory: {'; '.join(found.differs)}"


def _unmeasured(report: ReportDocument) -> Iterator[Row]:
    """What is not known of the result, and what can be said of it all the same."""
    yield from report.unmeasured.items()
    if report.outputs:
        yield "outputs", sentences.outputs(report.outputs)


def _verdicts(report: ReportDocument) -> Iterator[Row]:
    yield from _unmeasured(report)
    if report.budget:
        yield "budget", sentences.budget(report.budget)
    if report.surgery:
        yield "surgery", sentences.surgery(report.surgery)
    for step in report.recovery:
        yield "recovery", f"{step.method}: {step.detail}"
        if step.quality:
            yield "images", f"{step.method}: {sentences.image_quality(step.quality)}"
    yield from _parity(report)
    yield from parity_verdict(report)
    yield from precision_rows(report)
    if report.coverage:
        yield "coverage", sentences.coverage(report.coverage)
    if found := report.accuracy:
        images = sentences.number(found.n, "image")
        yield "accuracy", f"{_steps(found)}, {images}"
    if agreed := report.agreement:
        images = sentences.number(agreed.n, "image")
        yield "agreement", f"{_steps(agreed)}, {images} ({agreed.source})"
    yield from (("note", note) for note in report.notes)


def _steps(found: Accuracy | Agreement) -> str:
    """What the network reached on its way to the deliverable."""
    text = f"{units.percent(found.pruned)} before recovery"
    if found.quantized is None:
        return text
    float_file, quantized = units.percent(found.recovered), units.percent(found.quantized)
    return f"{text}, {float_file} after it, {quantized} quantized"


def _parity(report: ReportDocument) -> Iterator[Row]:
    if parity := report.parity:
        if report.model:
            closeness = sentences.closeness(parity, "PyTorch's")
            yield "export", f"{sentences.verified(parity)}: {closeness}"
        else:
            closeness = sentences.closeness(parity, "the first's")
            yield "outputs", f"the second file's {closeness}"


def _gates(report: ReportDocument) -> Iterator[Row]:
    for gate in report.gates:
        yield gate.expression, sentences.values(gate), "passed" if gate.passed else "FAILED"


def _stages(report: ReportDocument) -> Iterator[Row]:
    for stage in report.stages:
        yield stage.name, stage.status, units.duration(stage.seconds), stage.detail


def _recovery(report: ReportDocument) -> Iterator[Row]:
    for step in report.recovery:
        yield step.method, units.duration(step.seconds), str(step.images), step.detail


LAYER_HEADER = ("layer", "kind", "channels", "MACs", "parameters")


def _layers(report: ReportDocument) -> Iterator[Row]:
    for layer in report.layers:
        before, after = layer.before, layer.after
        yield (
            layer.name,
            layer.kind,
            _change(before.channels, after.channels if after else None, _whole),
            _change(before.macs, after.macs if after else None, units.count),
            _change(before.params, after.params if after else None, units.count),
        )


def _change(before: int | None, after: int | None, write: Callable[[float | None], str]) -> str:
    """A figure before and after, written once where it stayed."""
    return write(before) if before == after else f"{write(before)} → {write(after)}"


def _whole(number: float | None) -> str:
    return UNKNOWN if number is None else f"{number:.0f}"


def _locked(report: ReportDocument) -> Iterator[Row]:
    for locked in report.coverage.locked if report.coverage else ():
        yield locked.layer, units.percent(locked.macs_share), locked.reason


def _environment(report: ReportDocument) -> Iterator[Row]:
    yield "edgeprune", report.edgeprune
    yield "created", report.created
    yield "command", report.command
    yield "seed", str(report.seed)
    for key, value in report.environment.items():
        if text := _listed(value):
            yield NAMES.get(key, key), text


def _listed(value: object) -> str:
    """A value of the environment in words; nothing where nothing is known."""
    if value is None:
        return ""
    if isinstance(value, dict):
        parts = ((name, _listed(part)) for name, part in value.items())
        return _joined(f"{name} {text}" for name, text in parts if text)
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return str(value)


NAMES = {
    "cpu": "processor",
    "governor": "clock governor",
    "load_average": "load average",
    "pinned": "on cores",
    "memory": "peak memory read from",
    "os": "system",
    "shapes": "shapes given",
}
"""Keys of the environment, as people call them where that is not the same."""


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(parts)
