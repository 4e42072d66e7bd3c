"""Drawings of a report: each yields nothing where the report has nothing to show."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.ticker import FuncFormatter, MaxNLocator

from edgeprune import stats, units
from edgeprune.printable import printable
from edgeprune.report.figures import PLOT, shown_on
from edgeprune.report.html.drawing import AFTER, BEFORE, FAINT, GRID, draw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from edgeprune.report.document import Latency, LayerCost, Recovery, ReportDocument, Side
    from edgeprune.report.figures import Figure

REACH = 2
"""How far a distribution is drawn, in medians of the slower model: interruptions lie far out."""

NAMED = 30
"""Most layers whose names stand below their bars."""

LONGEST_NAME = 24
"""Characters of a name below its bar, its end: what comes before is shared by many."""

STEPS = 200
"""Points of a distribution."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing, and what it shows in words."""

    title: str
    caption: str
    svg: str


@dataclass(frozen=True, slots=True)
class Series:
    """One of the models, as drawings name and colour it."""

    label: str
    colour: str
    side: Side


def series(report: ReportDocument) -> tuple[Series, ...]:
    """Original and compressed, or the only model."""
    if report.compressed is None:
        return (Series("model", AFTER, report.original),)
    compressed = Series("compressed", AFTER, report.compressed)
    return Series("original", BEFORE, report.original), compressed


def latencies(report: ReportDocument) -> Iterator[Plot]:
    """How long inferences took: all of them in order of size, and block by block."""
    timed = [(one, one.side.latency_s) for one in series(report)]
    known = [(one, latency) for one, latency in timed if latency is not None]
    if not known:
        return
    yield Plot(
        "Latency, distribution",
        "Share of the inferences that took no longer; what took twice the slower median or more "
        "lies beyond.",
        draw("distribution", lambda axes: _distribution(axes, known)),
    )
    yield Plot(
        "Latency, over time",
        "Median of each block, in the order measured. Both should be level; lines part sessions.",
        draw("over-time", lambda axes: _over_time(axes, known)),
    )


def layers(report: ReportDocument) -> Iterator[Plot]:
    """Channels, MACs and parameters of the layers that compute."""
    if not any(layer.before.macs for layer in report.layers):
        return
    shown = (
        ("Channels by layer", "channels", lambda cost: cost.channels),
        ("MACs by layer", "macs", lambda cost: cost.macs),
        ("Parameters by layer", "params", lambda cost: cost.params),
    )
    for title, name, of in shown:
        yield Plot(
            title,
            "Before and after, layer by layer in the order they run; normalisations left out. "
            "The pointer shows names and figures.",
            draw(
                name,
                lambda axes, of=of: _by_layer(axes, report, of),  # type: ignore[misc]
                titles=_layer_titles(report, of),
            ),
        )


def memory(report: ReportDocument) -> Iterator[Plot]:
    """What the models take on disk and in memory."""
    known = [
        figure for figure in shown_on(PLOT) if any(figure.of(one.side) for one in series(report))
    ]
    if known:
        yield Plot(
            "File and memory",
            "On disk; activations counted; resident memory measured above the runtime's own.",
            draw("memory", lambda axes: _memory(axes, report, known), 0.75 + 0.6 * len(known)),
        )


def ladder(report: ReportDocument) -> Iterator[Plot]:
    """How near each method that was tried came to the original."""
    for number, step in enumerate(report.recovery):
        for note in step.notes:
            errors = note.get("errors")
            if note.get("kind") == "chosen" and isinstance(errors, dict) and len(errors) > 1:
                yield Plot(
                    "Recovery, method by method",
                    "Error on images that nothing was fitted to, as a share of the original's "
                    "variation; the least was taken.",
                    draw(
                        f"ladder-{number}",
                        lambda axes, errors=errors: _ladder(axes, errors),  # type: ignore[misc]
                        0.75 + 0.36 * len(errors),
                    ),
                )


def curves(report: ReportDocument) -> Iterator[Plot]:
    """The loss of each recovery method that trains, on images it did not see."""
    for number, step in enumerate(report.recovery):
        if sum(loss is not None for _, loss in step.curve) > 1:
            yield Plot(
                f"Recovery by {step.method}",
                "Loss on images that nothing was fitted to; lower is nearer to the original.",
                draw(f"curve-{number}", lambda axes, step=step: _curve(axes, step)),  # type: ignore[misc]
            )


def _distribution(axes: Axes, known: list[tuple[Series, Latency]]) -> None:
    for one, latency in known:
        shares = [step / STEPS for step in range(STEPS + 1)]
        ordered = sorted(latency.samples)
        values = [ordered[round(share * (len(ordered) - 1))] for share in shares]
        axes.plot(values, shares, color=one.colour, linewidth=1.8, label=one.label)
        axes.fill_between(values, shares, color=one.colour, alpha=0.12, linewidth=0)
    typical = max(latency.median for _, latency in known)
    fastest = min(min(latency.samples) for _, latency in known)
    slowest = max(max(latency.samples) for _, latency in known)
    axes.set_xlim(0.98 * fastest, 1.02 * min(slowest, REACH * typical))
    axes.set_ylim(0, 1)
    axes.set_ylabel("share of inferences")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: units.whole_percent(share)))
    _in_time(axes.xaxis, typical)
    _legend(axes)


def _over_time(axes: Axes, known: list[tuple[Series, Latency]]) -> None:
    for one, latency in known:
        medians = [stats.median(block) for block in latency.parts(latency.blocks)]
        axes.plot(
            medians, color=one.colour, label=one.label, linewidth=1, marker="o", markersize=2.5
        )
    for end in itertools.accumulate(known[0][1].sessions[:-1]):
        axes.axvline(end - 0.5, color=FAINT, linewidth=0.8, linestyle=(0, (3, 3)))
    axes.set_xlabel("block")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    _in_time(axes.yaxis, max(latency.median for _, latency in known))
    _legend(axes)


def _in_time(axis: Axis, typical: float) -> None:
    """Ticks in the one unit that suits a figure of ``typical`` seconds."""
    factor, unit = units.scale_of_time(typical / 2)  # a unit stays for twice as long
    axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * factor:.4g}"))
    axis.set_label_text(f"latency, {unit}")


def _by_layer(axes: Axes, report: ReportDocument, of: Callable[[LayerCost], int | None]) -> None:
    shown = [layer for layer in report.layers if layer.before.macs]
    places = range(1, len(shown) + 1)
    before = [of(layer.before) or 0 for layer in shown]
    after = [(of(layer.after) if layer.after else 0) or 0 for layer in shown]
    axes.bar(places, before, width=0.8, color=BEFORE, label="original", linewidth=0)
    axes.bar(places, after, width=0.8, color=AFTER, label="compressed", linewidth=0)
    for bars in axes.containers:
        for number, bar in enumerate(bars):
            bar.set_gid(f"{bars.get_label()}-{number}")
    axes.grid(visible=False, axis="x")
    if len(shown) <= NAMED:
        names = [printable(layer.name)[-LONGEST_NAME:] for layer in shown]
        axes.set_xticks(places, names, rotation=90, fontsize=7)
    else:
        axes.set_xlabel("layer")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: units.count(value)))
    _legend(axes)


def _layer_titles(report: ReportDocument, of: Callable[[LayerCost], int | None]) -> dict[str, str]:
    """What the pointer shows on the bars of each layer, by the bar's id."""
    titles: dict[str, str] = {}
    for number, layer in enumerate(layer for layer in report.layers if layer.before.macs):
        figures = (of(layer.before), of(layer.after) if layer.after else 0)
        change = " → ".join(map(units.count, figures))
        text = printable(f"{layer.name} ({layer.kind}): {change}")
        titles |= {f"original-{number}": text, f"compressed-{number}": text}
    return titles


def _memory(axes: Axes, report: ReportDocument, known: list[Figure]) -> None:
    sides = series(report)
    height = 0.8 / len(sides)
    largest = max(figure.of(one.side) or 0 for figure in known for one in sides)
    for number, one in enumerate(sides):
        places = [row + height * (number - (len(sides) - 1) / 2) for row in range(len(known))]
        values = [figure.of(one.side) or 0 for figure in known]
        axes.barh(places, values, height=0.92 * height, color=one.colour, label=one.label)
        for place, value, figure in zip(places, values, known, strict=True):
            text = figure.write(figure.of(one.side))
            axes.text(value + 0.015 * largest, place, text, va="center", fontsize=8.5)
    axes.set_yticks(range(len(known)), [figure.label for figure in known])
    axes.set_xlim(0, 1.25 * largest)
    axes.set_xticks([])
    axes.invert_yaxis()
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_color(GRID)
    axes.spines["bottom"].set_visible(False)
    _legend(axes)


def _ladder(axes: Axes, errors: dict[str, float]) -> None:
    least = min(errors.values())
    ordered = sorted(errors.items(), key=lambda item: -item[1])
    for place, (_, error) in enumerate(ordered):
        axes.barh(place, error, height=0.66, color=AFTER if error == least else BEFORE)
        axes.text(error, place, f" {error:.3f}", va="center", fontsize=8.5)
    axes.set_yticks(range(len(ordered)), [printable(name) for name, _ in ordered])
    axes.set_xlim(0, 1.18 * max(errors.values()))
    axes.set_xticks([])
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)


def _curve(axes: Axes, step: Recovery) -> None:
    finite = [(done, loss) for done, loss in step.curve if loss is not None]
    best = min(finite, key=lambda point: point[1])
    axes.plot(*zip(*finite, strict=True), color=AFTER, linewidth=1.8, marker="o", markersize=3)
    axes.annotate(f"{best[1]:.3g}", best, (0, 7), textcoords="offset points", ha="center")
    axes.set_xlabel("steps")
    axes.set_ylabel("loss on other images")
    axes.margins(y=0.2)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _legend(axes: Axes) -> None:
    """Names for the colours, above the drawing, where there are two to tell apart."""
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1:
        axes.figure.legend(handles, labels, loc="outside upper right", ncols=2)
