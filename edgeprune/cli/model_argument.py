"""The argument MODEL: a path, refused at once where nothing is there."""

from __future__ import annotations

import difflib
from itertools import islice
from pathlib import Path

import click

from edgeprune.errors import UsageError

FILES = 1000
"""Files of a folder that a mistyped name is compared with, at most."""


def there(_context: click.Context, _argument: click.Parameter, path: Path) -> Path:
    """The path, if something is there: nobody waits for PyTorch to be told that nothing is.

    Raises:
        UsageError: Nothing is; names what is called nearly the same.
    """
    if not path.exists():
        beside = islice(path.parent.iterdir(), FILES) if path.parent.is_dir() else ()
        near = difflib.get_close_matches(path.name, [each.name for each in beside], n=1)
        hint = f": did you mean '{path.with_name(near[0])}'?" if near else ""
        raise UsageError(f"there is no file or directory '{path}'{hint}")
    return path


model_argument = click.argument(
    "model", type=click.Path(path_type=Path), metavar="MODEL", callback=there
)
