"""The compressed network beside what one could do instead, and whether that would be better."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune import units
from edgeprune.report.quality import delivered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeprune.artifacts import Alternative
    from edgeprune.report.document import ReportDocument

HEADER = ("", "latency", "file size", "quality kept", "")
SAME = 1.03
"""Latencies within this factor are the same."""

CLEARLY = 0.01
"""Difference of quality below which nothing is said."""


def beside(report: ReportDocument) -> Iterator[tuple[str, ...]]:
    """The compressed network and its alternatives, as ratios to the original; none without any."""
    if not report.alternatives or report.ratio is None:
        return
    latency, own = report.ratio.latency, _own(report)
    yield (
        "compressed",
        units.times(latency.value if latency else report.ratio.instructions),
        units.times(report.ratio.bytes),
        _quality(report, own),
        "",
    )
    for alternative in report.alternatives:
        ratio = alternative.latency.value if alternative.latency else None
        quality = _quality(report, _of(report, alternative))
        yield (
            alternative.kind,
            units.times(ratio),
            units.times(alternative.bytes),
            quality,
            alternative.detail,
        )


def better(report: ReportDocument) -> dict[str, str]:
    """A sentence for each kind of alternative that is as fast and keeps more."""
    return dict(_better(report))


def _better(report: ReportDocument) -> Iterator[tuple[str, str]]:
    own = _own(report)
    latency = report.ratio.latency.value if report.ratio and report.ratio.latency else None
    if own is None or latency is None:
        return
    for alternative in report.alternatives:
        theirs = _of(report, alternative)
        if theirs is None or alternative.latency is None:
            continue
        if alternative.latency.value <= latency * SAME and theirs > own + CLEARLY:
            yield alternative.kind, _sentence(report, alternative, latency)


def _sentence(report: ReportDocument, alternative: Alternative, latency: float) -> str:
    theirs, own = (_quality(report, each) for each in (_of(report, alternative), _own(report)))
    ratio = alternative.latency.value if alternative.latency else None
    return (
        f"{alternative.kind} does better without pruning: {theirs} at {units.times(ratio)} of the "
        f"latency, against {own} at {units.times(latency)}; {ADVICE[alternative.kind]}"
    )


def _own(report: ReportDocument) -> float | None:
    """Quality of the compressed network by the surest figure that the report has."""
    if report.accuracy:
        return report.accuracy.original - report.accuracy.drop
    if report.agreement:
        return delivered(report, report.agreement)
    return report.outputs.share if report.outputs else None


def _of(report: ReportDocument, alternative: Alternative) -> float | None:
    """Quality of an alternative by the same figure."""
    if report.accuracy:
        return alternative.accuracy
    return alternative.agreement if report.agreement else alternative.outputs


def _quality(report: ReportDocument, figure: float | None) -> str:
    name = "accuracy" if report.accuracy else "agreement" if report.agreement else "of the outputs"
    return units.UNKNOWN if figure is None else f"{units.percent(figure)} {name}"


ADVICE = {
    "smaller image": "feed the original smaller images, or ask for less compression",
    "int8 alone": "try --precision auto, alone or with a larger budget",
}
"""What to do instead."""
