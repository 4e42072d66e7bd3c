"""A folder that takes its place in one step, whole and on the disk, and an earlier one's place too.

Linux and macOS exchange two folders in one step, so that there is no moment without a whole one in
the place. Elsewhere, as on network drives, there are two renames; who is killed between them leaves
the earlier folder in the draft, and whoever sweeps that moves it back (``drafts.py``).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import sys
from typing import TYPE_CHECKING

from edgeprune.drafts import REPLACED
from edgeprune.whole_file import sync, sync_all

if TYPE_CHECKING:
    from pathlib import Path

TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR)
IMPOSSIBLE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)
"""Errors of systems and file systems that exchange nothing."""

AT_CWD, RENAME_EXCHANGE = -100, 2
RENAME_SWAP = 2


def place_folder(made: Path, place: Path) -> None:
    """Move a finished folder to a place where there is nothing.

    Args:
        made: The folder, in a draft beside the place.
        place: Its path from now on.

    Raises:
        FileExistsError: There is something.
        OSError: It cannot be moved there, or not be put on the disk; nothing is in the place then.
    """
    sync_all(made)
    if os.path.lexists(place):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place))
    try:
        made.rename(place)
    except OSError as error:
        if error.errno in TAKEN and os.path.lexists(place):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place)) from error
        raise
    try:
        sync(place.parent)
    except OSError:
        place.rename(made)
        raise


def replace_folder(made: Path, place: Path, draft: Path) -> None:
    """Let a finished folder take the place of an earlier one.

    Args:
        made: The folder, in ``draft``.
        place: The earlier folder; it is in the draft afterwards.
        draft: The draft beside the place.

    Raises:
        OSError: It cannot be moved there, or not be put on the disk; the earlier one is in its
            place then.
    """
    sync_all(made)
    if exchange(made, place):
        try:
            sync(place.parent)
        except OSError:
            exchange(made, place)
            raise
        return
    place.rename(draft / REPLACED)
    try:
        made.rename(place)
        sync(place.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            place.rename(made)
        (draft / REPLACED).rename(place)
        raise


def exchange(one: Path, other: Path) -> bool:
    """Let two paths of one file system change places in one step.

    Returns:
        Whether they did; False where this cannot be done.

    Raises:
        OSError: The system refuses it.
    """
    if os.name != "posix":  # Windows opens no library without a name
        return False
    library = ctypes.CDLL(None, use_errno=True)
    paths = os.fsencode(one), os.fsencode(other)
    if sys.platform == "darwin" and hasattr(library, "renamex_np"):
        failed = library.renamex_np(*paths, RENAME_SWAP)
    elif hasattr(library, "renameat2"):
        failed = library.renameat2(AT_CWD, paths[0], AT_CWD, paths[1], RENAME_EXCHANGE)
    else:
        return False
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in IMPOSSIBLE:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))
