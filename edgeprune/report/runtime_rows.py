"""The rows of a report on several runtimes: one each, the report's own first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune import units
from edgeprune.artifacts.runtime_run import TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeprune.report.document import Ratio, ReportDocument, RuntimeParity, Side

HEADER = (
    *("runtime", "original", "compressed", "compressed / original", "peak memory"),
    *("outputs differ", "status"),
)


def runtime_rows(report: ReportDocument) -> Iterator[tuple[str, ...]]:
    """Latency, memory and parity by runtime; nothing where there is only one."""
    if not report.runtimes:
        return
    own = str(report.environment.get("runtime"))
    sides = (report.original, report.compressed)
    yield own, *_figures(*sides, report.ratio), _differ(report.runtime_parity), "ok"
    for each in report.runtimes:
        status = each.status + (f": {each.detail}" if each.detail else "")
        figures = _figures(each.original, each.compressed, each.ratio)
        yield each.runtime, *figures, _differ(each.parity), status


def emulation_complaint(report: ReportDocument) -> str:
    """What is wrong with outputs on an emulated processor; empty when nothing is."""
    counted = [side.instructions for side in (report.original, report.compressed) if side]
    worst = _worst([each.host_max_rel_diff for each in counted if each])
    if worst is None:
        how = "are not finite"
    elif worst > TOLERANCE:
        how = f"differ by {units.difference(worst)} of their largest"
    else:
        return ""
    device = report.environment.get("device")
    return f"outputs on {device} are not those of the same runtime on this machine: they {how}"


def parity_verdict(report: ReportDocument) -> Iterator[tuple[str, str]]:
    """The comparison of the report's runtime with ONNX Runtime."""
    if found := report.runtime_parity:
        runtime = report.environment.get("runtime")
        n = found.original.n if found.original else 0
        largest = f"{_differ(found)} of their largest at most ({n} inputs)"
        yield "runtime", f"{runtime} against ONNX Runtime: outputs differ by {largest}"


def _figures(
    original: Side | None, compressed: Side | None, ratio: Ratio | None
) -> tuple[str, str, str, str]:
    interval = ratio and ratio.latency
    change = units.times(interval.value, interval.low, interval.high) if interval else units.UNKNOWN
    largest = compressed or original
    memory = units.size(largest.peak_rss_bytes if largest else None)
    return _median(original), _median(compressed), change, memory


def _median(side: Side | None) -> str:
    return units.duration(side.latency_s.median if side and side.latency_s else None)


def _differ(parity: RuntimeParity | None) -> str:
    if parity is None:
        return units.UNKNOWN
    found = [each.max_rel_diff for each in (parity.original, parity.compressed) if each]
    return units.difference(_worst(found))


def _worst(differences: list[float | None]) -> float | None:
    """The largest difference; None where one is not finite."""
    return None if None in differences else max(filter(None, differences), default=0.0)
