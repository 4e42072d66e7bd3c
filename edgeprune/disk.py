"""Errors of the disk in words: what could not be written, on which disk, and how much is free."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from edgeprune.drafts import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
"""What a disk answers that takes no more, whichever program asked; a library's error hides it."""


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let errors of the disk name a path; those of writing to an open file name none.

    Args:
        path: What is written, for errors that name nothing.
    """
    try:
        yield
    except Exception as error:
        for found in chain(error):
            if isinstance(found, OSError) and found.errno in FULL and _names_no_path(found):
                found.filename = str(path)
        raise


def full(error: BaseException) -> OSError | None:
    """The disk's error behind that of a library, which may say something else or nothing."""
    return next((e for e in chain(error) if isinstance(e, OSError) and e.errno in FULL), None)


def refusal(error: OSError, path: Path | str | None = None) -> str:
    """One line that says what the system refused, and on which disk.

    Args:
        error: Its error.
        path: What could not be written; None: what the error names.
    """
    reason = error.strerror or type(error).__name__
    if path is None and error.errno not in FULL:
        return reason if _names_no_path(error) else f"{reason} (at '{_place(error.filename)}')"
    if path is None and _names_no_path(error):
        return f"cannot write: {reason}"
    place = _place(error.filename if path is None else path)
    where = f" ({_described(place)})" if error.errno in FULL else ""
    return f"cannot write {place}: {reason}{where}"


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it came from."""
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


def _names_no_path(error: OSError) -> bool:
    return error.filename is None or isinstance(error.filename, int)


def _place(named: object) -> Path:
    """The path that an error names, as the user knows it."""
    return place_of(Path(os.fsdecode(named) if isinstance(named, bytes) else str(named)))


def _described(path: Path) -> str:
    """The disk that a path lies on, and what is free there."""
    mount = path.absolute()
    while not (mount.is_dir() and mount.is_mount()) and mount != mount.parent:
        mount = mount.parent
    with contextlib.suppress(OSError):
        return f"disk at {mount}, {shutil.disk_usage(mount).free / 2**20:,.0f} MiB free"
    return f"disk at {mount}"
