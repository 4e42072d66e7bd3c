"""Text from files as text: no control character of it reaches a terminal or a page.

Names in models, reports and recipes come from strangers. An escape sequence among them could set a
terminal's title, move its cursor or fill its clipboard; an override of the writing direction could
make a line read as another one.
"""

from __future__ import annotations


def printable(text: str, *, keep: str = "\n\t") -> str:
    r"""The text with everything that does not print escaped, as Python would: ``\x1b``.

    Args:
        text: Any text.
        keep: Characters that stay although they do not print.

    Returns:
        Printable characters, spaces and those of ``keep`` alone.

    >>> printable("\x1b]0;title\x07a")
    '\\x1b]0;title\\x07a'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
