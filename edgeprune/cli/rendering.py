"""Options of the commands that have a report: a baseline to compare with, and output formats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeprune.report import baseline as comparing
from edgeprune.report.files import decode
from edgeprune.report.formats import FORMATS
from edgeprune.whole_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgeprune.report.document import ReportDocument

STDOUT = Path("-")

Command = TypeVar("Command", bound="Callable[..., Any]")


@dataclass(frozen=True, slots=True)
class Earlier:
    """A report to compare with, and its path."""

    path: Path
    report: ReportDocument


def baseline_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--baseline``, as the argument ``baseline``: an ``Earlier``, or None."""
    return click.option(
        "--baseline",
        type=click.Path(path_type=Path),
        callback=_read,
        metavar="OLD",
        help="Compare with an earlier report, of the same machine and settings where latency is "
        "concerned; gates may ask for baseline.latency.low and the like.",
    )(command)


def write_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--write``, as the argument ``write``: pairs of a format and a path."""
    return click.option(
        "--write",
        type=(click.Choice(list(FORMATS)), click.Path(path_type=Path)),
        multiple=True,
        metavar="FORMAT FILE",
        help=f"Write the report as {', '.join(FORMATS)}; FILE may be - for standard output. "
        "Repeatable.",
    )(command)


def json_option(what: str) -> Callable[[Command], Command]:
    """Give a command ``--json FILE``, as the argument ``json_``: a path, "-", or None.

    Args:
        what: What it writes, for the help.
    """
    return click.option(
        "--json",
        "json_",
        type=click.Path(path_type=Path, allow_dash=True),
        metavar="FILE",
        help=f"Write {what} as JSON; - prints it, and nothing else.",
    )


def write_json(text: str, path: Path | None) -> bool:
    """Write what ``--json`` asks for.

    Returns:
        Whether it went to standard output, which must then hold nothing else.
    """
    if path == STDOUT:
        click.echo(text.rstrip("\n"))
    elif path is not None:
        write_whole(path, text.encode())
    return path == STDOUT


def _read(_context: click.Context, _option: click.Parameter, path: Path | None) -> Earlier | None:
    """Read the baseline before anything runs; raises the errors of ``decode``."""
    return Earlier(path, decode(path)) if path else None


def with_baseline(report: ReportDocument, earlier: Earlier | None) -> ReportDocument:
    """The report with its baseline block, if there is a baseline."""
    return comparing.against(report, earlier.report, str(earlier.path)) if earlier else report


def write(report: ReportDocument, wanted: Sequence[tuple[str, Path]]) -> bool:
    """Write the report in every format wanted.

    Returns:
        Whether a format went to standard output, which must then hold nothing else.
    """
    for name, path in wanted:
        text = FORMATS[name](report)
        if path == STDOUT:
            click.echo(text, nl=False)
        else:
            write_whole(path, click.unstyle(text).encode())
    return any(path == STDOUT for _, path in wanted)
