"""The state of recovery, kept beside the future run directory until the run has succeeded.

A run that is interrupted, by the user or by an error, leaves it; ``--resume`` continues from it.
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
    """Folder for the state of recovery while a run directory is made."""
    return directory.with_name(f"{directory.name}.partial") / "recovery"


def begin(directory: Path, *, resume: bool) -> None:
    """Keep the state of an earlier run if it is to be resumed; else discard it."""
    state = state_of(directory)
    settings().state = state
    if not resume:
        discard(directory)
    elif not settings().resumable:
        say(f"there is nothing to resume in '{state.parent}': starting anew")


def discard(directory: Path) -> None:
    """Remove the state, and no file of the user."""
    state = state_of(directory)
    shutil.rmtree(state, ignore_errors=True)
    with suppress(OSError):  # there is none, or it holds files of somebody else
        state.parent.rmdir()
