"""The state of recovery, kept beside the future run directory until the run has succeeded.

A run that is interrupted, by the user or by an error, leaves it; ``--resume`` continues from it.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

from edgeprune import distributed
from edgeprune.cli.console import say, settings
from edgeprune.drafts import contended
from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

resume_option = click.option(
    "--resume",
    is_flag=True,
    help="Go on from what a run of the same settings left in DIR.partial when it was interrupted "
    "or failed; without this flag that is discarded.",
)


def state_of(directory: Path) -> Path:
    """Folder for the state of recovery while a run directory is made."""
    return directory.with_name(f"{directory.name}.partial") / "recovery"


@contextmanager
def keeping(directory: Path, draft: Path, *, resume: bool) -> Iterator[Path]:
    """Keep the state of a run until it has succeeded; what an earlier one left goes, or is resumed.

    Args:
        directory: The future run directory.
        draft: The run's draft.
        resume: Whether to go on from what is there.

    Yields:
        The folder of the state. Where a living process is at work on the same directory, the state
        is that one's: this run has its own, in its draft, and cannot be resumed.

    Raises:
        UsageError: There is such a process, and several of this run, which cannot have their own.
    """
    if contended(draft):
        if distributed.several():  # the others look for it in its usual place
            raise UsageError(f"another run is at work on '{directory}': choose another -o")
        say(f"another run is at work on '{directory}': this one could not be resumed")
        yield draft / "state"
        return
    state = state_of(directory)
    settings().state = state
    if not resume:
        discard(directory)
    elif not settings().resumable:
        say(f"there is nothing to resume in '{state.parent}': starting anew")
    try:
        yield state
    except BaseException:
        if not settings().resumable:
            discard(directory)  # folders without a file
        raise
    discard(directory)


def discard(directory: Path) -> None:
    """Remove the state, and no file of the user."""
    state = state_of(directory)
    shutil.rmtree(state, ignore_errors=True)
    with suppress(OSError):  # there is none, or it holds files of somebody else
        state.parent.rmdir()
