"""Flags whose values are names: a mistyped one is refused at once, and shells complete them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from edgeprune.choices import Choices

if TYPE_CHECKING:
    from collections.abc import Iterable

    TextType = click.ParamType[str]
else:
    TextType = click.ParamType  # not generic before click 8.4


class Named(TextType):
    """A name out of a table, or several with commas between.

    Args:
        kind: What is chosen, for the error: "recovery method".
        names: The names.
        several: Whether commas may stand between names.
        also: Further words that are taken but not offered.
    """

    name = "name"

    def __init__(
        self, kind: str, names: Iterable[str], *, several: bool = False, also: Iterable[str] = ()
    ) -> None:
        self._choices = Choices(kind, dict.fromkeys(names))
        self._several, self._also = several, tuple(also)

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The value as it was typed.

        Raises:
            UsageError: A name is not in the table; names the closest, and all.
        """
        for name in value.split(",") if self._several else [value]:
            if name.strip() not in self._also:
                self._choices[name.strip()]
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that begin as the last one typed does."""
        typed = incomplete if self._several else ""
        before = typed[: typed.rfind(",") + 1]
        names = (f"{before}{name}" for name in (*self._choices, *self._also))
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]
