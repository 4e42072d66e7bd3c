"""How work that takes long says how far it has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Progress: TypeAlias = "Callable[[float, str], None]"
"""How long work reports itself: the share done, 0 to 1, and what is being done, in a few words."""


def part_of(progress: Progress | None, place: int, parts: int) -> Progress | None:
    """Progress of one of so many equal parts, as progress of the whole."""
    if progress is None:
        return None
    return lambda share, text: progress((place + share) / parts, text)
