"""What recovery has done so far, kept beside the run directory to be until the run has succeeded.

A run that is cut short, by the user or by an error, leaves it; ``--resume`` goes on from it.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from edgeprune.cli.console import say, settings

if TYPE_CHECKING:
    from pathlib import Path

resume_option = click.option(
    "--resume",
    is_flag=True,
    help="Go on from what a run of the same settings left in DIR.partial when it was interrupted "
    "or failed; without this flag that is discarded.",
)


def state_of(directory: Path) -> Path:
    """Where the state of recovery is kept while a run directory is made; a folder of our own."""
    return directory.with_name(f"{directory.name}.partial") / "recovery"


def begin(directory: Path, *, resume: bool) -> None:
    """Look at what is left of an earlier run, or discard it."""
    state = state_of(directory)
    settings().state = state
    if not resume:
        discard(directory)
    elif not settings().resumable:
        say(f"there is nothing to resume in '{state.parent}': starting anew")


def discard(directory: Path) -> None:
    """Remove the state, and nothing that is not ours."""
    state = state_of(directory)
    shutil.rmtree(state, ignore_errors=True)
    with suppress(OSError):  # there is none, or it holds files of somebody else
        state.parent.rmdir()
