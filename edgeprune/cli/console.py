"""Output besides results: verbosity, progress, messages and errors.

All of it goes to standard error, so that standard output holds only the results.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import click

from edgeprune import units
from edgeprune.drafts import is_within
from edgeprune.printable import printable

if TYPE_CHECKING:
    from pathlib import Path

    from edgeprune.artifacts import Progress

Stages: TypeAlias = "Callable[[str], Progress]"
"""Starts a stage by its name, and returns the function that reports its progress."""

LONGEST_LINE = 500
"""Characters of a line of an error; names and flags can be of any length."""

EVERY_S = 30.0
"""Seconds between two lines on the progress of a stage, where there is no terminal."""

NOTHING = ""
"""What stays in a line although it does not print."""

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass
class Settings:
    """Verbosity, set before or after the command's name, and the whole command line.

    ``state`` is the folder where an interrupted run leaves the state of recovery, ``started`` when
    the command began, by the monotonic clock, ``torch_loads`` whether that has been said.
    """

    verbose: bool = False
    quiet: bool = False
    arguments: tuple[str, ...] = ()
    state: Path | None = None
    started: float = field(default_factory=time.monotonic)
    torch_loads: bool = False

    @property
    def resumable(self) -> bool:
        """Whether there is a state for ``--resume``."""
        return self.state is not None and any(
            path.is_file() and not is_within(path.relative_to(self.state))
            for path in self.state.rglob("*")
        )

    @property
    def elapsed(self) -> float:
        """Seconds since the command began."""
        return time.monotonic() - self.started


def typed_command() -> str:
    """The command line, quoted for a shell."""
    return shlex.join(("edgeprune", *settings().arguments))


def settings() -> Settings:
    """The settings of the command that is running; the defaults outside one."""
    context = click.get_current_context(silent=True)
    return context.ensure_object(Settings) if context else Settings()


def common_options(command: Command) -> Command:
    """Give a command ``-v``, ``-q`` and ``-V``; they reach it through ``settings()``."""
    for option in (
        click.option(
            "-V",
            "--version",
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_version,
            help="Show the version and exit.",
        ),
        click.option(
            "-q",
            "--quiet",
            is_flag=True,
            expose_value=False,
            callback=_set_quiet,
            help="No progress; errors and results only.",
        ),
        click.option(
            "-v",
            "--verbose",
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_set_verbose,
            help="Show where an error comes from.",
        ),
    ):
        command = option(command)
    return command


def say(message: str) -> None:
    """Print one line for the user, unless ``-q`` was given."""
    if not settings().quiet:
        click.echo(printable(message), err=True)


def loading_torch() -> None:
    """Say, once, that PyTorch is being loaded: it takes seconds in which nothing else is said."""
    known = settings()
    if "torch" not in sys.modules and not known.torch_loads:
        known.torch_loads = True
        say("loading PyTorch…")


def colours() -> bool | None:
    """Whether output is coloured: as NO_COLOR or FORCE_COLOR say; None: on a terminal alone.

    The former beats the latter, and either counts unless it is empty: https://no-color.org and
    https://force-color.org.
    """
    if os.environ.get("NO_COLOR"):
        return False
    return True if os.environ.get("FORCE_COLOR") else None


def warn(message: str) -> None:
    """Print a warning, also with ``-q``."""
    mark = click.style("warning: ", fg="yellow")
    click.echo(mark + printable(message), err=True, color=colours())


def report_error(message: str, error: BaseException | None = None) -> None:
    """Print an error, with the traceback of ``error`` if it is given."""
    if error is not None:
        text = "".join(traceback.format_exception(error))
        click.echo(printable(text), err=True, nl=False)
    shown = "\n".join(map(_shortened, printable(message).split("\n")))
    mark = click.style("error: ", fg="red", bold=True)
    click.echo(mark + shown, err=True, color=colours())


def _shortened(line: str) -> str:
    """The line, without its middle where it is longer than anybody reads."""
    half = LONGEST_LINE // 2
    return line if len(line) <= LONGEST_LINE else f"{line[:half]} … {line[-half:]}"


def report_bug(error: BaseException, *, verbose: bool) -> None:
    """Print an unexpected error, and how to report it."""
    text = " ".join(str(error).split()) or "no message"
    advice = "please report it with the traceback above"
    if not verbose:
        advice = "this is a bug; please run it again with -v and report what it prints"
    report_error(f"{type(error).__name__}: {text}\n{advice}", error if verbose else None)


@contextlib.contextmanager
def progress_bar(
    *, quiet: bool | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Stages]:
    """Show the progress of a run, on standard error.

    On a terminal each stage is a bar with the time taken and left; elsewhere, as in the log of a
    CI job, a line when it starts, and every half a minute one on how far it is.

    Args:
        quiet: Show nothing; None: as the user chose by ``-q``.
        clock: Gives the time in seconds.

    Yields:
        Function that starts a stage by its name, and returns the ``Progress`` of the stage.
    """
    if settings().quiet if quiet is None else quiet:
        yield lambda stage: lambda share, doing: None
    elif sys.stderr.isatty():
        with _bars() as stages:
            yield stages
    else:
        started = clock()
        yield lambda stage: _lines(stage, started, clock)


def _lines(stage: str, started: float, clock: Callable[[], float]) -> Progress:
    """Print that a stage starts; its progress, no more often than every half a minute."""
    began = said = clock()
    name = printable(stage, keep=NOTHING)
    click.echo(f"[{began - started:7.1f} s] {name}", err=True)

    def progress(share: float, doing: str) -> None:
        nonlocal said
        now = clock()
        if now - said < EVERY_S:
            return
        said = now
        left = units.duration((now - began) / share * (1 - share)) if share > 0 else "unknown time"
        line = f"{name} {units.whole_percent(share)}, {left} left"
        line += f": {printable(doing, keep=NOTHING)}" if doing else ""
        click.echo(f"[{now - started:7.1f} s] {line}", err=True)

    return progress


@contextlib.contextmanager
def _bars() -> Iterator[Stages]:
    from rich import progress
    from rich.console import Console
    from rich.markup import escape

    columns = (
        progress.TextColumn("{task.description:<10}"),
        progress.BarColumn(bar_width=24),
        progress.TaskProgressColumn(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[doing]}"),
    )
    with progress.Progress(*columns, console=Console(file=sys.stderr)) as bars:

        def start(stage: str) -> Progress:
            _finish(bars)
            task = bars.add_task(escape(printable(stage, keep=NOTHING)), total=1.0, doing="")
            return lambda share, doing: bars.update(
                task, completed=share, doing=escape(printable(doing, keep=NOTHING))
            )

        yield start
        _finish(bars)


def _finish(bars: Any) -> None:
    """Fill the bars of the earlier stages: they are over, whatever they reported last."""
    for task in bars.tasks:
        bars.update(task.id, completed=1.0, doing="")


def _set_verbose(context: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001
    if value:
        context.ensure_object(Settings).verbose = True


def _set_quiet(context: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001
    if value:
        context.ensure_object(Settings).quiet = True


def _show_version(context: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001
    if value and not context.resilient_parsing:
        from edgeprune.report.environment import version

        click.echo(f"edgeprune {version()}")
        context.exit()
