"""The command line: one file a command, loaded when it is called.

The table below holds the whole text of ``edgeprune --help``, so help starts in an instant and
neither torch nor any command is imported. ``main`` turns every way to end into an exit code.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeprune import disk, distributed
from edgeprune.cli import streams
from edgeprune.cli.blame import fault_of_network
from edgeprune.cli.console import (
    Settings,
    colours,
    common_options,
    report_bug,
    report_error,
)
from edgeprune.errors import (
    DeviceFailed,
    EdgepruneError,
    ModelRefused,
    UsageError,
    first_line,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

INTERRUPTED = 130
CLOSED_PIPE = 141
"""Exit code that a shell reports for a program that a closed pipe ended."""

COMPLETING = "_EDGEPRUNE_COMPLETE"
"""Set by a shell that asks what may stand next on a command line."""

RESUMABLE = "the same command with --resume goes on from what recovery has done so far"

COMMANDS: dict[str, tuple[str, str]] = {
    "compress": (
        "edgeprune.cli.compress:command",
        "Make a model smaller and faster; the whole line.",
    ),
    "inspect": (
        "edgeprune.cli.inspect:command",
        "Show what can be pruned, what is locked, and why.",
    ),
    "prune": ("edgeprune.cli.prune:command", "Remove channels, and verify the surgery."),
    "recover": ("edgeprune.cli.recover:command", "Repair what pruning a run has damaged."),
    "export": ("edgeprune.cli.export:command", "Write a model as ONNX, and verify it."),
    "apply": ("edgeprune.cli.apply:command", "Replay a saved plan on its model."),
    "bench": (
        "edgeprune.cli.bench:command",
        "Measure latency and memory of one or two ONNX files.",
    ),
    "check": (
        "edgeprune.cli.check:command",
        "Test a report against thresholds; exit 3 if one is exceeded.",
    ),
    "doctor": (
        "edgeprune.cli.doctor:command",
        "Show versions, CPU features, runtimes and devices.",
    ),
}
"""Module and attribute of each command, and its line in the help."""


class LazyGroup(click.Group):
    """Commands of ``COMMANDS``, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was typed; the error for an unknown one names the closest."""
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(COMMANDS)}"
            ctx.fail(f"there is no command {args[0]!r}: {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in COMMANDS.items()])

    def make_context(self, *given: Any, **named: Any) -> click.Context:
        """Read the arguments, and print what they alone ask for."""
        with _quietly_without_reader():
            return super().make_context(*given, color=colours(), **named)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _quietly_without_reader():
            return super().invoke(ctx)


@contextlib.contextmanager
def _quietly_without_reader() -> Iterator[None]:
    """End quietly if the pipe of standard output is closed; click would say 1 of it."""
    try:
        yield
    except BrokenPipeError:
        streams.discard_results()
        raise click.exceptions.Exit(CLOSED_PIPE) from None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@common_options
def cli() -> None:
    """Compress a trained PyTorch CNN into a smaller, faster, verified ONNX model, without data."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: Arguments without the program's name; None: those of the process.

    Returns:
        Exit code.
    """
    typed = tuple(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        _own_process()
    settings = Settings(arguments=typed)
    with _among_processes():
        try:
            code = cli.main(
                list(typed),
                prog_name="edgeprune",
                standalone_mode=False,
                obj=settings,
            )
        except BaseException as error:  # SystemExit too: a network's code may raise it
            if COMPLETING in os.environ and isinstance(error, SystemExit):
                return int(error.code or 0)
            code = _ended(error, settings)
            if settings.resumable and code != INTERRUPTED and not settings.quiet:
                click.echo(RESUMABLE, err=True)
        if (lost := streams.flush_results()) and not code:
            code = CLOSED_PIPE if isinstance(lost, BrokenPipeError) else _ended(lost, settings)
    return code if isinstance(code, int) else 0


def _own_process() -> None:
    """Set signals and threads of a process that ``main`` does not share with another program.

    SIGTERM, as CI sends it, and SIGHUP, as a terminal that closes, unwind like Ctrl-C, so that
    drafts are removed; nohup has the latter ignored. OpenMP's threads sleep while they wait: by
    default they spin, and take cores from other programs.
    """
    streams.repair()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is loaded, which reads it


@contextlib.contextmanager
def _among_processes() -> Iterator[None]:
    """Silence all processes of torchrun but the first; leave their process group at the end."""
    with contextlib.ExitStack() as stack:
        if not distributed.first():
            nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
            stack.enter_context(contextlib.redirect_stderr(nowhere))
        yield
        if distributed.several() and "torch" in sys.modules:  # else nothing was trained
            from edgeprune.training import leave

            leave()


def _ended(error: BaseException, settings: Settings) -> int:
    """Print what went wrong in a line or two, and return the exit code."""
    if isinstance(error, click.Abort) and isinstance(error.__cause__, EOFError):
        error = error.__cause__
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        report_error(
            f"interrupted; {RESUMABLE}"
            if settings.resumable
            else "interrupted; no file was left half written"
        )
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        error.show()
        return 2
    if isinstance(error, ModuleNotFoundError) and not _ours(error):
        error = _missing(error)
    error = _refused_by_the_machine(error) or error
    if not isinstance(error, EdgepruneError):
        error = fault_of_network(error) or error
    if isinstance(error, EdgepruneError):
        report_error(str(error), error if settings.verbose else None)
        return error.exit_code
    report_bug(error, verbose=settings.verbose)
    return EdgepruneError.exit_code


def _refused_by_the_machine(error: BaseException) -> UsageError | None:
    """What the machine has not enough of, or does not let us do; None if something else is wrong.

    A full disk, whatever a library says of it, a folder that may not be written, a file that
    vanished, memory used up, a path that no system can have.
    """
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in first_line(error):
        said: str | None = f"this machine has not enough memory: {first_line(error)}"
    elif isinstance(error, ValueError) and "embedded null" in first_line(error):
        said = "there is no path with a null byte in it"
    elif not isinstance(error, ModelRefused) and (full := disk.full(error)):
        said = disk.refusal(full)
    else:
        said = disk.refusal(error) if isinstance(error, OSError) and error.strerror else None
    if said is None:
        return None
    refusal = UsageError(said)
    refusal.__cause__ = error
    return refusal


def _ours(error: ModuleNotFoundError) -> bool:
    return (error.name or "").split(".")[0] == "edgeprune"


def _missing(error: ModuleNotFoundError) -> DeviceFailed:
    failure = DeviceFailed(
        f"this needs the package {error.name!r}, which is not installed; "
        "`edgeprune doctor` lists what is missing"
    )
    failure.__cause__ = error
    return failure
