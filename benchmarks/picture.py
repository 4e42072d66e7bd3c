"""The picture of the README: what a run made of its model, drawn from its report.json.

    edgeprune compress examples/cifar10_resnet.pt --target onnx --eval DIR -o RUN
    python benchmarks/picture.py RUN --out docs/pictures/example.svg

On the left what remains of each figure, latency with its interval; on the right accuracy before,
after the cut, and after recovery, if the run had labelled images. Text stays text, colours are read
on light and on dark pages, and the same report gives the same file.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from edgeprune.report.files import decode

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from edgeprune.report.document import ReportDocument

INK, BEFORE, AFTER, LOST = "#7a8594", "#b3bcc8", "#3478d4", "#d98a1f"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "edgeprune",
    "font.size": 10,
    **dict.fromkeys(
        ("text.color", "xtick.color", "ytick.color", "axes.labelcolor", "axes.edgecolor"), INK
    ),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "axes.spines.bottom"), False),
    "axes.titlesize": 10,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="run directory, or its report.json")
    parser.add_argument("--out", type=Path, required=True, help="SVG file to write")
    arguments = parser.parse_args()
    report = decode(arguments.run)
    arguments.out.write_text(draw(report), encoding="utf-8")
    print(f"wrote {arguments.out}")


def draw(report: ReportDocument) -> str:
    """The picture as SVG."""
    parts = [_remaining, _accuracy] if report.accuracy else [_remaining]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.2 * len(parts), 2.3), layout="constrained", facecolor="none")
        for axes, part in zip(figure.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
            axes.set_facecolor("none")
            part(axes, report)
        written = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(written, format="svg", metadata=nothing)
    return written.getvalue()


def _remaining(axes: Axes, report: ReportDocument) -> None:
    """What remains of each figure, in per cent of the original."""
    ratio = report.ratio
    assert ratio is not None, "the report compares nothing"
    latency = ratio.latency
    found = {
        "MACs": ratio.macs,
        "file size": ratio.bytes,
        "latency": latency and latency.value,
        "peak memory": ratio.peak_rss,
    }
    shown = {name: 100 * value for name, value in reversed(found.items()) if value is not None}
    axes.barh(list(shown), [100] * len(shown), color=BEFORE, alpha=0.35, height=0.62)
    axes.barh(list(shown), list(shown.values()), color=AFTER, height=0.62)
    for place, (name, value) in enumerate(shown.items()):
        text = f"{value:.0f} %"
        if name == "latency" and latency is not None:
            text += f"  ({100 * latency.low:.0f}–{100 * latency.high:.0f})"
        axes.text(value + 2, place, text, va="center")
    axes.set(xlim=(0, 100), xticks=[], title="compressed / original")
    axes.tick_params(length=0)


def _accuracy(axes: Axes, report: ReportDocument) -> None:
    """Accuracy of the original, of the network that was cut, and of the deliverable."""
    found = report.accuracy
    assert found is not None
    steps = {
        "original": (found.original, BEFORE),
        "pruned": (found.pruned, LOST),
        "recovered": (found.original - found.drop, AFTER),
    }
    for name, (share, colour) in steps.items():
        axes.bar(name, 100 * share, color=colour, width=0.6)
        axes.text(name, 100 * share + 2, f"{100 * share:.1f} %", ha="center")
    axes.set(ylim=(0, 112), yticks=[], title=f"{found.metric} accuracy, {found.n} images")
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)


if __name__ == "__main__":
    main()
