"""How work that takes long says how far it has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Progress: TypeAlias = "Callable[[float, str], None]"
"""How long work reports itself: the share done, 0 to 1, and what is being done, in a few words."""


def no_progress(share: float, doing: str) -> None:
    """Progress that nobody watches."""


def part_of(progress: Progress | None, place: int, parts: int) -> Progress | None:
    """Progress of one of so many equal parts, as progress of the whole."""
    if progress is None:
        return None
    return lambda share, text: progress((place + share) / parts, text)


class Halves:
    """Progress of making images, and of work on them: each a half, or the work all of it.

    The work is all of it where the making takes too little time to be told.

    Args:
        progress: Of the whole.
    """

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._told = False

    def first(self, share: float, text: str) -> None:
        """Of the making."""
        self._told = True
        if self._progress is not None:
            self._progress(share / 2, text)

    def second(self) -> Progress | None:
        """Of the work."""
        return part_of(self._progress, 1, 2) if self._told else self._progress
