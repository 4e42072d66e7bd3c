"""A named, read-only table of interchangeable things, with an error that helps.

Every folder of methods ends in one: the command line lists its names, the look-up is its
subscript, and adding a method is adding a line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import TypeVar

from edgeprune.errors import UsageError

T = TypeVar("T")


class Choices(Mapping[str, T]):
    """Names to choices, in the order given.

    Args:
        kind: What is chosen, for the error: "recovery method".
        table: The choices by name.

    Raises:
        UsageError: From a subscript with an unknown name; lists the known ones.
    """

    def __init__(self, kind: str, table: Mapping[str, T]) -> None:
        self._kind = kind
        self._table = dict(table)

    def __getitem__(self, name: str) -> T:
        try:
            return self._table[name]
        except KeyError:
            raise UsageError(self._unknown(name)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def __contains__(self, name: object) -> bool:
        return name in self._table

    def _unknown(self, name: str) -> str:
        close = difflib.get_close_matches(name, self._table, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"no {self._kind} is called {name!r}: {hint}there are {', '.join(self._table)}"
