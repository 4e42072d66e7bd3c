"""Which output of a network each folder of labelled images stands for.

A folder's place says nothing by itself: sorted as text, 10 comes before 2, and where folders are
missing, all that follow stand for another class. An accuracy from there is no figure, so folders
that do not fit the outputs are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SHOWN = 3
"""Names of folders in an error."""


def class_indices(
    root: Path, folders: Sequence[str], outputs: int, known: Sequence[str] = ()
) -> tuple[int, ...]:
    """The output that each folder is about.

    Names that are numbers are the classes' own; names that the network knows its classes by are
    looked up; else there must be as many folders as outputs, and they count in order.

    Args:
        root: The folder that they are in, for errors.
        folders: Their names, sorted.
        outputs: Number of outputs of the network.
        known: Names of its classes, in order; empty where it does not say.

    Raises:
        UsageError: The folders do not fit; says how many of each there are.
    """
    if folders and all(name.isdecimal() for name in folders):
        numbers = [int(name) for name in folders]
        if len(set(numbers)) < len(numbers):
            raise UsageError(f"--eval {root}: two folders are the same number")
        if max(numbers) < outputs:
            return tuple(numbers)
        folders = [str(number) for number in numbers]
        order = sorted(numbers)
    else:
        numbers, order = list(range(len(folders))), list(range(len(folders)))
    if known_to_network := set(folders) & set(known):
        if strangers := [name for name in folders if name not in known_to_network]:
            shown = ", ".join(strangers[:SHOWN])
            raise UsageError(f"--eval {root}: the network knows no class {shown}")
        return tuple(list(known).index(name) for name in folders)
    if len(folders) != outputs:
        raise UsageError(_misfit(root, folders, outputs))
    return tuple(order.index(number) for number in numbers)


def _misfit(root: Path, folders: Sequence[str], outputs: int) -> str:
    counted = f"{len(folders)} class folder{'' if len(folders) == 1 else 's'}"
    text = f"--eval {root} has {counted}, but the network has {outputs} outputs: "
    for name in folders:
        inside = root / name
        if inside.is_dir() and sum(each.is_dir() for each in inside.iterdir()) == outputs:
            return f"{text}'{inside}' has as many, pass that"
    if outputs == 1:
        return f"{text}top-1 accuracy needs one output a class"
    return (
        f"{text}make a folder for each class (it may be empty), or name folders by the number of "
        f"their class, 0 to {outputs - 1}"
    )
