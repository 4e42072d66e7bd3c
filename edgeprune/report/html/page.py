"""The page: headline, then a panel for each part of the report, drawings above their table.

Every text of a report is escaped where it meets the page. The page carries a policy under which a
browser loads nothing from anywhere and runs only the script that switches light and dark.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup

from edgeprune.printable import printable
from edgeprune.report import rows, sentences
from edgeprune.report.html import beside, headline, plots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edgeprune.report.document import ReportDocument
    from edgeprune.report.html.plots import Plot
    from edgeprune.report.rows import Section

    Drawn = Callable[[ReportDocument], Iterator[Plot]]

LONG = 24
"""Rows above which a table is folded away until asked for."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A part of the page; its table is None where drawings say it all."""

    title: str
    plots: tuple[Plot, ...]
    table: Section | None

    @property
    def folded(self) -> bool:
        """Whether the table is too long to stand open."""
        return self.table is not None and len(self.table.rows) > LONG


def render(report: ReportDocument, directory: Path | None = None) -> str:
    """The whole page, with everything it needs in it.

    Args:
        report: What to show.
        directory: The run directory that the page will stand in, for links and pictures; None:
            it stands alone.
    """
    script = _text("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _template().render(
        title=rows.title(report),
        report=report,
        tone=sentences.tone,
        made_with=headline.made_with(report),
        tiles=tuple(headline.tiles(report)),
        verdicts=tuple(headline.verdicts(report)),
        panels=_panels(report),
        files=beside.files(directory),
        sheets=beside.sheets(directory),
        snippet=beside.snippet(report) if directory else "",
        style=Markup(_text("page.css")),
        script=Markup(script),
        script_digest=digest,
    )


def _panels(report: ReportDocument) -> tuple[Panel, ...]:
    tables = {section.title: section for section in rows.sections(report)}
    panels = []
    for title, draws in ORDER:
        drawings = tuple(plot for draw in draws for plot in draw(report))
        table = _without_notes(tables.pop(title, None))
        if drawings or table:
            panels.append(Panel(title, drawings, table))
    return (*panels, *(Panel(title, (), table) for title, table in tables.items()))


def _without_notes(table: Section | None) -> Section | None:
    """The table without the notes, which stand on the page by themselves."""
    if table is None:
        return None
    rows = tuple(row for row in table.rows if row[0] != "note" or table.title != "Verdicts")
    return replace(table, rows=rows)


ORDER: tuple[tuple[str, tuple[Drawn, ...]], ...] = (
    ("Gates", ()),
    ("Before and after", ()),
    ("Figures", ()),
    ("Against the baseline", ()),
    ("Measured", (plots.latencies, plots.memory)),
    ("Verdicts", ()),
    ("Layers", (plots.layers,)),
    ("Recovery", (plots.ladder, plots.curves)),
)
"""Which drawings stand above which table; tables that are not named here follow as they come."""


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        finalize=_printable,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")


def _printable(value: object) -> object:
    """Text of the report as it may stand in the page; what is already markup stays."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value)
    return value


def _text(name: str) -> str:
    templates = resources.files("edgeprune.report.html") / "templates"
    return (templates / name).read_text(encoding="utf-8")
