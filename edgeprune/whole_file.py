"""A file that appears whole or not at all: written beside its place, then moved there.

Whatever ends the writing, be it a full disk or Ctrl-C, leaves the old file as it was and nothing
else behind. Only a killed process leaves its hidden draft, which ``drafts`` finds.

A link stays a link: what it leads to is written. A device or a pipe stays what it is: it is written
to, as nothing can take its place.
"""

from __future__ import annotations

import contextlib
import glob
import os
from typing import TYPE_CHECKING

from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Put ``data`` into ``path`` in one step; its folder exists.

    Raises:
        UsageError: The file cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        with writing(path) as draft:
            draft.write_bytes(data)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A draft to write to, which replaces ``path`` once the block has ended well.

    Args:
        path: The file, or a link to it; its folder exists. It gets the permissions that the user's
            umask gives a new file, whatever the writer sets.

    Yields:
        The draft: an empty hidden file in the same folder.

    Raises:
        OSError: The draft cannot be made, or not take the place of the file.
    """
    path = path.resolve() if path.is_symlink() else path
    draft = path.with_name(f".{path.name}.{os.getpid()}{SUFFIX}")
    try:
        draft.unlink(missing_ok=True)  # of a process that was killed and had our number
        draft.touch()
        mode = draft.stat().st_mode
        draft.chmod(0o600)
        yield draft
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.chmod(mode)
        draft.replace(path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def drafts(path: Path) -> Iterator[Path]:
    """Drafts left by killed processes: of ``path``, and of its name with more behind a dot."""
    return path.parent.glob(f".{glob.escape(path.name)}.*{SUFFIX}")


SUFFIX = ".partial"
