"""Small files of text that people send: recipes, plans, reports; read within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 256 << 20
"""Largest report that is read: samples of a day of measuring; bytes."""


def read_bytes(path: Path, what: str, *, limit: int = LIMIT) -> bytes:
    """The content of a regular file of bounded size.

    Args:
        path: The file.
        what: What it should be, to begin the message: "the recipe".
        limit: The most that is read, in bytes.

    Raises:
        UsageError: The file cannot be read, is a device or a pipe, or is too large.
    """
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"cannot read {what} '{path}': it is not a regular file")
        if path.stat().st_size > limit:
            raise UsageError(f"cannot read {what} '{path}': it is larger than {limit >> 20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {what} '{path}': {error.strerror}") from error
