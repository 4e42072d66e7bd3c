"""A report for a screen, for a page and for programs: layouts of the same document."""

from __future__ import annotations

import io
import re
import shutil
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgeprune.choices import Choices
from edgeprune.report import rows, summary
from edgeprune.report.benchmark_json import as_benchmark_json
from edgeprune.report.document import FILE_NAME, ReportDocument
from edgeprune.report.files import save, with_digest
from edgeprune.report.junit import as_junit
from edgeprune.report.sentences import tone
from edgeprune.whole_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from edgeprune.report.rows import Section


def write(report: ReportDocument, directory: Path) -> None:
    """Write report.json, report.md and report.html into a run directory."""
    save(report, directory / FILE_NAME)
    write_whole(directory / "report.md", as_markdown(report).encode())
    write_whole(directory / "report.html", as_html(report, directory).encode())


def as_table(report: ReportDocument) -> str:
    """The brief sections for a terminal as wide as this one.

    Colours are in the text: what prints it leaves them out where they do not belong, as
    ``click.echo`` does.
    """
    width = shutil.get_terminal_size((100, 24)).columns
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    with console.capture() as captured:
        for section in rows.sections(report):
            if section.brief:
                console.print(_table(section))
    return captured.get()


def as_markdown(report: ReportDocument) -> str:
    """Every section as a table of GitHub-flavoured Markdown."""
    parts = [f"# {_cell(rows.title(report))}", *_opening(report)]
    return "\n\n".join((*parts, *map(_markdown, rows.sections(report)))) + "\n"


def as_html(report: ReportDocument, directory: Path | None = None) -> str:
    """One self-contained page with plots; of a run directory, with links and pictures too."""
    from edgeprune.report.html import page  # plots take a second to import

    return page.render(report, directory)


def as_json(report: ReportDocument) -> str:
    """report.json."""
    return with_digest(report).decode()


def _table(section: Section) -> Table:
    table = Table(title=section.title, title_justify="left", title_style="bold")
    for position, name in enumerate(section.header):
        figures = len(section.header) > 2 and position > 0 and section.title.startswith("Before")
        table.add_column(Text(name), justify="right" if figures else "left", overflow="fold")
    for row in section.rows:
        table.add_row(*(Text(cell, style=STYLES.get(tone(cell), "")) for cell in row))
    return table


STYLES = {"good": "green", "bad": "bold red", "note": "yellow"}


def _opening(report: ReportDocument) -> Iterator[str]:
    """What a reader needs first of a run, before the sections."""
    if report.model is None:
        return
    header = ("", "original → compressed", "compressed / original")
    checked = " · ".join(check.text for check in summary.checks(report))
    found = [(row.name, row.text, row.change) for row in summary.lines(report)]
    cells = (map(_cell, row) for row in (*found, ("checked", checked, "")))
    yield "\n".join(map(_line, (header, ("---",) * 3, *cells)))


def _markdown(section: Section) -> str:
    lines = [
        _line(section.header),
        _line(("---",) * len(section.header)),
        *(_line(tuple(map(_cell, row))) for row in section.rows),
    ]
    return f"## {section.title}\n\n" + "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """Text that Markdown leaves as it is: layer names have underscores, reasons have stars."""
    return re.sub(r"([\\`*_|<>\[\]#])", r"\\\1", " ".join(text.split()))


FORMATS: Choices[Callable[[ReportDocument], str]] = Choices(
    "report format",
    {
        "table": as_table,
        "markdown": as_markdown,
        "html": as_html,
        "json": as_json,
        "junit": as_junit,
        "pytest-benchmark": as_benchmark_json,
    },
)
