"""What stands on the screen when a run has ended: at most thirty lines.

Five rows with accuracy on top, what was checked, notes that name the flag to use, the file to
deploy with its preprocessing, the report, the next command and the time. The rest is in the report,
and in ``--full``.
"""

from __future__ import annotations

import io
import shlex
import shutil
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgeprune import units
from edgeprune.artifacts.exported import COMPRESSED
from edgeprune.printable import printable
from edgeprune.report import summary
from edgeprune.report.formats import STYLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgeprune.report.document import Model, ReportDocument

LINES = 30
"""Of the whole screen: a small terminal shows it at once."""

WIDTHS = (60, 100)
"""A line is no narrower than this, whatever the terminal says, and no wider."""

LABEL = 13
"""Columns that the names of rows take."""


def last_screen(report: ReportDocument, directory: Path, seconds: float) -> str:
    """The screen, with colours in the text.

    Args:
        report: What came out.
        directory: The run directory.
        seconds: What the command took.
    """
    low, high = WIDTHS
    width = min(max(shutil.get_terminal_size((high, 24)).columns, low), high)
    console = Console(file=io.StringIO(), force_terminal=True, width=width, highlight=False)
    head, foot = _rows(report), _foot(report, directory, seconds)
    room = LINES - _height(console, head) - _height(console, foot) - 2  # two empty lines
    notes = _notes(report, console, room)
    with console.capture() as captured:
        for part in (head, notes, foot):
            console.print(part)
    lines = (line.rstrip() for line in captured.get().splitlines())
    return "\n".join(line for line in lines if line) + "\n"


def _rows(report: ReportDocument) -> Table:
    grid = _grid(3)
    for line in summary.lines(report):
        style = STYLES.get(line.tone, "")
        grid.add_row(Text(line.name), Text(line.text, style), Text(line.change, style))
    return grid


def _notes(report: ReportDocument, console: Console, room: int) -> Table:
    """As many notes as there is room for, and how many more the report has."""
    grid, shown = _grid(2), 0
    for note in report.notes:
        trial = _grid(2)
        trial.add_row("note", printable(note))
        room -= _height(console, trial)
        if room < (0 if note is report.notes[-1] else 1):
            break
        grid.add_row(Text("note", "yellow"), Text(printable(note)))
        shown += 1
    if left := len(report.notes) - shown:
        grid.add_row("", Text(f"{left} more in report.html, or with --full", "yellow"))
    return grid


def _foot(report: ReportDocument, directory: Path, seconds: float) -> Table:
    grid = _grid(2)
    verdicts = list(summary.checks(report))
    text = Text(" · ").join(
        Text(check.text, "" if check.passed else STYLES["bad"]) for check in verdicts
    )
    if verdicts:
        grid.add_row("checked", text)
    for name, value in _places(report, directory):
        grid.add_row(name, Text(printable(value)))
    grid.add_row("time", units.duration(seconds))
    return grid


def _places(report: ReportDocument, directory: Path) -> Iterator[tuple[str, str]]:
    deliverable = directory / COMPRESSED
    if deliverable.is_file():
        yield "deploy", str(deliverable)
        if report.model:
            yield "", preprocessing(report.model)
    yield "report", str(directory / "report.html")
    yield "next", next_command(report, directory)


def preprocessing(model: Model) -> str:
    """What the file takes, in the words of who has a picture in hand."""
    shapes = ", ".join(map(units.dimensions, model.input))
    if model.preprocessing is None:
        return f"takes {shapes}"
    colours = "RGB" if len(model.preprocessing.mean) == 3 else "grey"
    mean, std = (
        ", ".join(f"{value:.4g}" for value in values)
        for values in (model.preprocessing.mean, model.preprocessing.std)
    )
    return f"takes {shapes} float32: {colours} from 0 to 1, less {mean}, divided by {std}"


def next_command(report: ReportDocument, directory: Path) -> str:
    """What is most useful to type next."""
    run = shlex.quote(str(directory))
    if not (directory / COMPRESSED).is_file():
        return f"edgeprune export {run}"
    measured = report.compressed and (report.compressed.latency_s or report.compressed.instructions)
    if not measured:
        return f"edgeprune bench {run}"
    return f"edgeprune bench {run} --device ssh://board"


def _grid(columns: int) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=LABEL, no_wrap=True)
    for _ in range(columns - 1):
        grid.add_column(overflow="fold")
    return grid


def _height(console: Console, part: Table) -> int:
    return len(console.render_lines(part)) if part.row_count else 0
