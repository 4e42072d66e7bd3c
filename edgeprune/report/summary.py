"""What a reader needs first: five rows with accuracy on top, and what was checked, in a line.

The last screen of a run and ``report.md`` begin with it. Accuracy always has its row: measured,
else as far as agreement or outputs tell, else that nobody knows, with the flag that would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from edgeprune import units
from edgeprune.printable import printable
from edgeprune.report import alternative_rows, sentences
from edgeprune.report.compare import ratio
from edgeprune.report.figures import FIGURES
from edgeprune.report.quality import delivered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeprune.report.document import Accuracy, Agreement, ReportDocument

Tone: TypeAlias = Literal["good", "bad", "note", "plain"]

AMBER, RED = 0.01, 0.05
"""Drops of accuracy from which a row is amber, and red."""

PASS_EVAL = "not measured: pass --eval DIR"
"""How to know the accuracy."""

AS_OTHERS = {True: "as networks do that lost 0 to 15 points", False: "as those that lost 10 to 63"}
"""What kept outputs meant for the accuracy of networks that were measured, by whether at least half
of the variation was kept: ``benchmarks/outputs_kept.py``."""

SHOWN = ("macs", "onnx.bytes", "peak_rss_bytes")
"""Figures below accuracy and latency, by their keys in ``figures.py``."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row: what it is about, its values, how they changed, and whether that is good news."""

    name: str
    text: str
    change: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Check:
    """Something that was checked, in a word or two."""

    text: str
    passed: bool


def lines(report: ReportDocument) -> tuple[Line, ...]:
    """Accuracy, latency, MACs, size and memory, and what else one could do, as far as known."""
    found = (accuracy(report), latency(report), *_figures(report), *_alternatives(report))
    return tuple(
        Line(line.name, printable(line.text), printable(line.change), line.tone) for line in found
    )


def accuracy(report: ReportDocument) -> Line:
    """What is known of the deliverable's accuracy; never nothing."""
    if report.accuracy:
        return _measured(report.accuracy)
    if report.agreement:
        return _agreeing(report, report.agreement)
    if kept := report.outputs:
        whole = kept.share >= sentences.HALF
        share = units.whole_percent(kept.share)
        text = f"estimated: outputs keep {share} of their variation, {AS_OTHERS[whole]}"
        return Line("accuracy", f"{text} ({PASS_EVAL})", "", "note" if whole else "bad")
    why = report.unmeasured.get("accuracy", PASS_EVAL)
    return Line("accuracy", why, "", "note")


def tone_of_drop(drop: float) -> Tone:
    """Whether a loss of accuracy is small, worth a look, or bad."""
    return "bad" if drop >= RED else "note" if drop >= AMBER else "good"


def _measured(found: Accuracy) -> Line:
    after = found.original - found.drop
    name = "accuracy" if found.metric == "top-1" else found.metric
    text = f"{_change(units.percent(found.original), units.percent(after))}, {_of(found.n)}"
    change = units.points(-found.drop)
    if found.low is not None and found.high is not None:
        ends = (f"{-100 * end:+.1f}".replace("-", "−") for end in (found.high, found.low))
        change += f" ({' to '.join(ends)})"
    return Line(name, text, change, tone_of_drop(found.drop))


def _agreeing(report: ReportDocument, found: Agreement) -> Line:
    share = delivered(report, found)
    text = f"agrees with the original on {units.percent(share)} of {_of(found.n)} ({PASS_EVAL})"
    return Line("accuracy", text, "", "bad" if 1 - share >= 2 * RED else "note")


def latency(report: ReportDocument) -> Line:
    """The latency's ratio with its interval; else why there is none."""
    before, after = (side and side.latency_s for side in (report.original, report.compressed))
    interval = report.ratio and report.ratio.latency
    if interval and before and after:
        seconds = (before.p5, after.p5) if before.p5 and after.p5 else (before.median, after.median)
        change = units.times(interval.value, interval.low, interval.high)
        tone: Tone = "good" if interval.high < 1 else "bad" if interval.low > 1 else "note"
        open_ = "" if tone != "note" else ", cannot be told from no change"
        return Line("latency", _change(*map(units.duration, seconds)) + open_, change, tone)
    counted = [side and side.instructions for side in (report.original, report.compressed)]
    if counted[0] and counted[1]:
        both = (units.count(each.per_inference) for each in counted if each)
        change = units.times(report.ratio.instructions if report.ratio else None)
        return Line("instructions", f"{_change(*both)}, arm64, emulated", change)
    if any(stage.name == "bench" and stage.status == "failed" for stage in report.stages):
        return Line("latency", "measuring failed: edgeprune bench RUN makes up for it", "", "bad")
    return Line("latency", "not measured", "", "note")


def _figures(report: ReportDocument) -> Iterator[Line]:
    for figure in FIGURES:
        if figure.key not in SHOWN:
            continue
        before = figure.of(report.original)
        after = figure.of(report.compressed) if report.compressed else None
        if before is not None or after is not None:
            change = ratio(after, before)
            tone: Tone = "bad" if change is not None and change > 1 else "plain"
            both = _change(figure.write(before), figure.write(after))
            yield Line(figure.label, both, units.times(change), tone)


def _alternatives(report: ReportDocument) -> Iterator[Line]:
    """What one could do instead: how fast that is, and what it keeps."""
    better = alternative_rows.better(report)
    for kind, times, size, quality, detail in list(alternative_rows.beside(report))[1:]:
        tone: Tone = "note" if kind in better else "plain"
        yield Line(kind, f"instead: {detail}, {quality}, {size} of the size", times, tone)


def checks(report: ReportDocument) -> Iterator[Check]:
    """What was checked, the reader's own gates first."""
    if report.gates:
        passed = sum(gate.passed for gate in report.gates)
        whole = passed == len(report.gates)
        yield Check(f"{passed} of {sentences.number(len(report.gates), 'gate')} passed", whole)
    if proof := report.surgery:
        yield Check(f"surgery {sentences.exactness(proof)}", sentences.holds(proof))
    if parity := report.parity:
        yield Check(f"export {sentences.verified(parity)}", parity.max_rel_diff is not None)
    if budget := report.budget:
        yield Check(sentences.budget(budget), not budget.missed)
    if found := report.coverage:
        locked = sentences.number(len(found.locked), "group")
        yield Check(f"{locked} locked", passed=True)


def _change(before: str, after: str) -> str:
    return f"{before} → {after}"


def _of(count: int) -> str:
    return sentences.number(count, "image")
