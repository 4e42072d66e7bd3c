"""What a report says of 8-bit integers: which precision is delivered, why, and how true it is."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from edgeprune import units
from edgeprune.report import sentences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeprune.report.document import Fidelity, Precision, ReportDocument

SHOWN = 4
"""Nodes of one reason that are named; report.json has all."""


def precision_rows(report: ReportDocument) -> Iterator[tuple[str, str]]:
    """Verdicts on the quantized file; none where there is none."""
    if found := report.precision:
        yield "precision", choice(found)
        for reason, nodes in _by_reason(found.kept_float).items():
            named = ", ".join(nodes[:SHOWN]) + (", …" if len(nodes) > SHOWN else "")
            yield "stays float", f"{sentences.number(len(nodes), 'node')} ({named}): {reason}"
    if report.fidelity:
        yield "fidelity", fidelity(report.fidelity)


def choice(found: Precision) -> str:
    """Which precision is delivered, and why.

    "int8 delivered: 0.41× (0.40–0.42) of the float file's latency, 0.29× of its size; the float
    file is compressed.fp32.onnx".
    """
    size = f"{units.times(found.bytes)} of its size"
    kept = f"the {kind(found) if found.delivered == 'fp32' else 'float'} file is {found.beside}"
    return f"{found.delivered} delivered: {_ground(found)}, {size}; {kept}"


def _ground(found: Precision) -> str:
    return GROUNDS.get(found.ground, "") + _measured(found)


def _measured(found: Precision) -> str:
    ratio = found.ratio
    if ratio is None:
        return f"whether {kind(found)} is faster was not measured"
    same = ratio.low == ratio.high
    measured = units.times(ratio.value) if same else units.times(ratio.value, ratio.low, ratio.high)
    return f"{kind(found)} takes {measured} of the float file's {found.figure}"


def kind(found: Precision) -> str:
    """The precision of the file that is not the float one, delivered or not."""
    if found.delivered != "fp32":
        return found.delivered
    return "int8" if found.asked == "auto" else found.asked


GROUNDS = {
    "not faster": "int8 is not faster here: ",
    "not true enough": "int8 is not true enough: ",
    "smaller": "asked for by size: ",
}
"""What decided, where more than the measured figure did."""


def fidelity(found: Fidelity) -> str:
    """How true the quantized file is to the float file."""
    error = "not finite" if found.relative_error is None else units.percent(found.relative_error)
    images = sentences.number(found.n, "input")
    drop = found.expected_drop
    lost = "" if drop is None else f" (expected to cost {units.percent(drop)} of accuracy)"
    return (
        f"the quantized file's outputs differ by {error} (root mean square), top-1 identical at "
        f"{units.percent(found.agreement)} of positions{lost}, {units.percent(found.clipped)} of a "
        f"layer's values clipped at most; {images} {found.source}"
    )


def _by_reason(kept: dict[str, str]) -> dict[str, list[str]]:
    grouped = defaultdict(list)
    for node, reason in kept.items():
        grouped[reason].append(node)
    return dict(grouped)
