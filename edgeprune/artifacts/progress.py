"""Progress callbacks of work that takes long."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Progress: TypeAlias = "Callable[[float, str], None]"
"""Callback for the share done, 0 to 1, and what is being done, in a few words."""


def no_progress(share: float, doing: str) -> None:
    """Ignore progress."""


def part_of(progress: Progress | None, place: int, parts: int) -> Progress | None:
    """A callback for one of several equal parts, in terms of one for the whole.

    Args:
        progress: Callback for the share of the whole; None: nobody watches.
        place: Number of the part, from 0.
        parts: Number of parts.
    """
    if progress is None:
        return None
    return lambda share, text: progress((place + share) / parts, text)


class Halves:
    """Progress of making images and of work on them: a half each.

    The work is the whole where making images is too quick to report progress.

    Args:
        progress: Callback for the share of the whole; None: nobody watches.
    """

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._reported = False

    def first(self, share: float, text: str) -> None:
        """Report that a share of the images is made."""
        self._reported = True
        if self._progress is not None:
            self._progress(share / 2, text)

    def second(self) -> Progress | None:
        """Callback for the share of the work."""
        return part_of(self._progress, 1, 2) if self._reported else self._progress
