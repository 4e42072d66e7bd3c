"""Which files this user's edgeprune wrote, of the kinds that run as code when they are loaded.

A digest beside such a file would prove nothing: whoever sends a file sends its digest too. So the
digests of what edgeprune wrote are kept where a sender cannot reach, in the user's cache folder.
"""

from __future__ import annotations

import contextlib
import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

from edgeprune.cache_folder import cache_folder

if TYPE_CHECKING:
    from pathlib import Path

LIST = "own-files.txt"
"""Digests, one a line."""

_written: set[str] = set()  # serves this process where the folder cannot be written


def remember(path: Path) -> None:
    """Put a file that was just written on the list; without the list where it cannot be kept."""
    digest = _digest_of(path)
    _written.add(digest)
    with contextlib.suppress(OSError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        with (cache_folder() / LIST).open("a", encoding="ascii") as file:
            file.write(f"{digest}\n")


def is_own(path: Path) -> bool:
    """Whether edgeprune wrote exactly this file for this user."""
    digest = _digest_of(path)
    if digest in _written:
        return True
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return digest in (cache_folder() / LIST).read_text(encoding="ascii").split()
    return False


def _digest_of(path: Path) -> str:
    status = path.stat()
    return _digest(path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=64)
def _digest(path: Path, *_: int) -> str:
    """SHA-256 of a file as it is; read again once its size, time or place on the disk changes."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            total.update(part)
    return total.hexdigest()
