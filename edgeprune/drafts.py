"""Hidden folders in which something is made before it takes its place; those of the dead are swept.

A draft lies beside its place, so that one rename moves what was made. Its owner holds a lock on a
file in it, which the system lets go however the owner ends: a draft whose lock can be taken belongs
to a process that was killed. Where a file system has no locks, drafts of the killed stay.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK = "owner.lock"
REPLACED = "replaced"
"""What a draft moved out of its place, to be moved back if nothing has taken the place."""

NAME = re.compile(r"\.(?P<place>.+)\.draft-[a-z0-9_]{8}")


@contextlib.contextmanager
def drafting(place: Path) -> Iterator[Path]:
    """A new hidden folder beside ``place``, removed at the end; those of the dead go first.

    Args:
        place: The file or folder that is to be made; its folder exists.

    Yields:
        The draft, which the owner alone may read; it holds the owner's lock.

    Raises:
        OSError: The draft cannot be made.
    """
    sweep(place.parent)
    draft, lock = _made(place)
    try:
        yield draft
    finally:
        _remove(draft)
        os.close(lock)


def sweep(folder: Path) -> None:
    """Remove the drafts that killed processes left in a folder; what they moved away comes back."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if _is_draft(entry)]
        for name in names:
            with contextlib.suppress(OSError):
                _sweep(folder / name)


def is_within(path: Path) -> bool:
    """Whether a path lies in a draft."""
    return any(NAME.fullmatch(part) for part in path.parts)


def place_of(path: Path) -> Path:
    """What a path in a draft will be called: ``.run.draft-…/run/plan.json`` is run/plan.json."""
    parts: list[str] = []
    inner = False
    for part in path.parts:
        found = NAME.fullmatch(part)
        if not inner:
            parts.append(found["place"] if found else part)
        inner = bool(found)
    return type(path)(*parts)


def contended(draft: Path) -> bool:
    """Whether a living process has another draft of the same place."""
    own = NAME.fullmatch(draft.name)
    for other in draft.parent.iterdir():
        found = NAME.fullmatch(other.name)
        if own and found and found["place"] == own["place"] and other != draft:
            with contextlib.suppress(OSError):
                if _is_held(other / LOCK):
                    return True
    return False


def take(lock: Path) -> int | None:
    """Lock a file, which is made if it is missing, for as long as this process lives.

    Returns:
        The descriptor that holds the lock; None where a living process holds it.

    Raises:
        OSError: The file cannot be opened.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | NO_LINK, 0o600)
    held = _locked(descriptor)
    if held is not False and _is_at(descriptor, lock):
        return descriptor
    os.close(descriptor)
    return None


def _made(place: Path) -> tuple[Path, int]:
    while True:
        draft = Path(tempfile.mkdtemp(prefix=f".{place.name}.draft-", dir=place.parent))
        try:
            lock = take(draft / LOCK)
        except FileNotFoundError:  # somebody swept it, as it was empty
            continue
        except OSError:
            _remove(draft)
            raise
        if lock is not None:
            return draft, lock


def _is_draft(entry: os.DirEntry[str]) -> bool:
    return bool(NAME.fullmatch(entry.name)) and entry.is_dir(follow_symlinks=False)


def _sweep(draft: Path) -> None:
    if not (draft / LOCK).exists():
        draft.rmdir()  # its owner was killed before it could lock it, or it is not ours
        return
    descriptor = os.open(draft / LOCK, os.O_RDWR | NO_LINK)
    try:
        if _locked(descriptor) and _is_at(descriptor, draft / LOCK):
            _restore(draft)
            _remove(draft)
    finally:
        os.close(descriptor)


def _is_held(lock: Path) -> bool:
    descriptor = os.open(lock, os.O_RDWR | NO_LINK)
    try:
        return _locked(descriptor) is False
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool | None:
    """Lock an open file: whether it could be; None where the file system has no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file still lies there."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False


def _restore(draft: Path) -> None:
    """Move back what the owner had moved out of the place when it was killed."""
    found = NAME.fullmatch(draft.name)
    if found and (draft / REPLACED).exists():
        place = draft.with_name(found["place"])
        if not os.path.lexists(place):
            (draft / REPLACED).rename(place)


def _remove(draft: Path) -> None:
    """Remove a draft, its lock last, so that what is left at any time can be swept."""
    with contextlib.suppress(OSError):
        for path in draft.iterdir():
            if path.name != LOCK:
                _remove_one(path)
        (draft / LOCK).unlink(missing_ok=True)
        draft.rmdir()


def _remove_one(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""Neither a link to somebody's file nor a pipe without a writer is taken for a lock."""
