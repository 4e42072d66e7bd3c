"""A drawing as SVG for a page: colours of the page's theme, text as text, the same every time.

matplotlib writes colours as numbers. Each colour of ``COLOURS`` is therefore drawn as a number
that stands for a custom property of the style sheet, so one drawing serves light and dark.
"""

from __future__ import annotations

import html
import io
import re
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from matplotlib.axes import Axes

INK, FAINT, GRID = "#010203", "#010204", "#010205"
BEFORE, AFTER = "#010206", "#010207"

COLOURS = {
    INK: "var(--ink)",
    FAINT: "var(--faint)",
    GRID: "var(--grid)",
    BEFORE: "var(--before)",
    AFTER: "var(--after)",
}
"""For each number that stands for a colour, where the page has it."""

SIZE = (5.0, 2.9)
"""Inches; at 72 units an inch a drawing is 360 wide, the width of a small phone."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "edgeprune",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": FAINT,
    "axes.labelsize": 9,
    "axes.edgecolor": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": FAINT,
    "ytick.labelcolor": FAINT,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


def draw(
    name: str,
    onto: Callable[[Axes], None],
    height: float = SIZE[1],
    titles: Mapping[str, str] | None = None,
) -> str:
    """Draw on a pair of axes and give the SVG element.

    Args:
        name: Keeps the ids of one drawing on a page from those of another.
        onto: Draws.
        height: Inches.
        titles: What a browser shows where the pointer rests on a part, by the part's id
            (``set_gid``).
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(SIZE[0], height), layout="constrained", facecolor="none")
        axes = figure.add_subplot(facecolor="none")
        onto(axes)
        written = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(written, format="svg", metadata=nothing)
    svg = written.getvalue()
    for part, text in (titles or {}).items():
        svg = svg.replace(f'<g id="{part}">', f'<g id="{part}"><title>{html.escape(text)}</title>')
    return _for_page(svg, name)


def _for_page(svg: str, name: str) -> str:
    element = svg[svg.index("<svg") :]
    element = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", element, count=1)
    element = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", element, count=1)
    element = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", element, flags=re.DOTALL)
    element = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", element)
    for number, variable in COLOURS.items():
        element = element.replace(number, variable)
    return element
