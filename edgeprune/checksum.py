"""A digest that a file of text carries of itself, so that a change of it is seen when it is read.

It is SHA-256 over the file's bytes, the digest itself taken as zeros, as in our tensor files. It
tells of damage and of edits; who edits a file on purpose can take it out, or make it anew.
"""

from __future__ import annotations

import hashlib
import re

KEY = "file_sha256"
BLANK = "0" * 64
"""Stands for the digest until it is known."""

_FOUND = re.compile(rb"^\W{0,4}file_sha256\W{1,4}([0-9a-f]{64})\W*$", re.MULTILINE)


def filled_in(text: bytes) -> bytes:
    """The text with its digest in the place of ``BLANK``.

    Raises:
        ValueError: ``BLANK`` does not stand behind ``KEY`` in it.
    """
    if (place := _place(text)) is None:
        raise ValueError(f"the text has no place for its {KEY}")
    start, end = place
    return text[:start] + hashlib.sha256(text).hexdigest().encode() + text[end:]


def is_changed(text: bytes) -> bool:
    """Whether a text carries a digest that does not fit; one without a digest says nothing."""
    if (place := _place(text)) is None:
        return KEY.encode() in text  # what stands there is no digest any more
    start, end = place
    blank = text[:start] + BLANK.encode() + text[end:]
    return hashlib.sha256(blank).hexdigest().encode() != text[start:end]


def complaint(path: object) -> str:
    """What to say of a changed file, and what its owner can do."""
    return (
        f"'{path}' was changed after edgeprune wrote it: its checksum does not fit; if the change "
        f"is yours, take {KEY} out of it"
    )


def _place(text: bytes) -> tuple[int, int] | None:
    """Where the digest stands: on the first line that holds nothing else."""
    found = _FOUND.search(text)
    return found.span(1) if found else None
