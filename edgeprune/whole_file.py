"""A file that appears whole or not at all: written in a draft beside its place, then moved there.

Whatever ends the writing, be it a full disk, Ctrl-C or a power cut, leaves the old file as it was
or the new one whole: it is on the disk before it takes its place. A killed process leaves a hidden
draft, which the next writer in that folder removes.

A link stays a link: what it leads to is written. A device or a pipe stays what it is: it is written
to, as nothing can take its place.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from edgeprune import disk
from edgeprune.drafts import drafting
from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOT_SYNCED = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)
"""Errors of file systems and systems that cannot sync a folder, or what is open for reading."""


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
        raise UsageError(disk.refusal(error, path)) from error


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A draft to write to, which replaces ``path`` once the block has ended well.

    Args:
        path: The file, or a link to it; its folder exists. It gets the permissions that the user's
            umask gives a new file, whatever the writer sets.

    Yields:
        The draft: an empty file in a hidden folder that no other user may enter.

    Raises:
        OSError: The draft cannot be made, or not take the place of the file, which it names.
    """
    path = path.resolve() if path.is_symlink() else path
    with disk.naming(path), drafting(path) as folder:
        draft = folder / "file"
        draft.touch()
        mode = draft.stat().st_mode
        yield draft
        draft.chmod(mode)
        sync(draft)
        draft.replace(path)
        sync(path.parent)


def sync(path: Path) -> None:
    """Have the system put a file's content, or a folder's entries, on the disk.

    Raises:
        OSError: The disk is full or broken.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # a folder that may be written to, not read
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NOT_SYNCED:
            raise
    finally:
        os.close(descriptor)


def sync_all(folder: Path) -> None:
    """Have the system put a folder on the disk, with everything in it.

    Raises:
        OSError: The disk is full or broken.
    """
    for path in (*folder.rglob("*"), folder):
        if not path.is_symlink() and (path.is_dir() or path.is_file()):
            sync(path)
