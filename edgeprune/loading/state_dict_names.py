"""Names of weights under wrappers: which prefix, and which words inside, make them fit a network.

DataParallel, torch.compile and sharding put a word of their own into every name, in front or
inside ("features.module.0.weight"); training code puts a prefix in front ("model.", "backbone.",
"ema.module."). No list of prefixes is needed: a prefix counts if names of the network follow it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from edgeprune.loading.checkpoint_entries import is_averaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

T = TypeVar("T")

OF_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Words that wrappers put into names: data-parallel, compiled, sharded, checkpointed."""

TRIED = 8
"""So many prefixes are tried, those that fit most names first."""


@dataclass(frozen=True, slots=True)
class Renaming:
    """One way to read the names of a file.

    Attributes:
        prefix: What stood in front of every name, without wrappers' words.
        names: New name by name in the file, for all names that have the prefix.
        left: Names that lack it.
    """

    prefix: str
    names: dict[str, str]
    left: tuple[str, ...] = ()

    def applied(self, given: Mapping[str, T]) -> dict[str, T]:
        """What was given, under its new names."""
        return {new: given[name] for name, new in self.names.items()}


def renamings(given: Iterable[str], wanted: Iterable[str]) -> list[Renaming]:
    """Ways to read the names of a file, the likeliest first.

    Args:
        given: Names in the file.
        wanted: Names in the network.

    Returns:
        Names under a prefix of averaged weights first, then as they stand, then under the prefix
        that fits most names; none twice.
    """
    names = tuple(given)
    plain = {bare(name): name for name in wanted}
    votes = Counter(prefix for name in names for prefix in _prefixes(bare(name), plain))
    most = max(votes.values(), default=0)
    likely = [prefix for prefix in votes if 2 * votes[prefix] > most]
    ranked = sorted(likely, key=lambda prefix: (-votes[prefix], len(prefix)))[:TRIED]
    averaged = [_under(prefix, names, plain) for prefix in ranked if is_averaged(prefix)]
    others = [_under(prefix, names, plain) for prefix in ranked if not is_averaged(prefix)]
    distinct: dict[tuple[tuple[str, str], ...], Renaming] = {}
    for each in (*averaged, Renaming("", {name: name for name in names}), *others):
        distinct.setdefault(tuple(each.names.items()), each)
    return list(distinct.values())


def renamings_under(entry: str, given: Iterable[str], wanted: Iterable[str]) -> list[Renaming]:
    """Ways to read the names that begin with a prefix, the likeliest first; none: there are none.

    Args:
        entry: The prefix, without its last dot; it may be a wrapper's word alone.
        given: Names in the file.
        wanted: Names in the network.
    """
    names = tuple(given)
    if prefix := bare(entry):
        return [each for each in renamings(names, wanted) if each.prefix == f"{prefix}."]
    inside = tuple(name for name in names if name.startswith(f"{entry}."))
    outside = tuple(name for name in names if not name.startswith(f"{entry}."))
    found = renamings(inside, wanted) if inside else []
    return [replace(each, left=(*each.left, *outside)) for each in found]


def bare(name: str) -> str:
    """A name without the words of wrappers."""
    return ".".join(part for part in name.split(".") if part not in OF_WRAPPERS)


def _prefixes(name: str, wanted: dict[str, str]) -> Iterable[str]:
    """Every beginning of a name, with its last dot, that a name of the network follows."""
    parts = name.split(".")
    for start in range(len(parts)):
        if ".".join(parts[start:]) in wanted:
            yield "".join(f"{part}." for part in parts[:start])


def _under(prefix: str, names: tuple[str, ...], wanted: dict[str, str]) -> Renaming:
    renamed: dict[str, str] = {}
    taken: set[str] = set()
    left: list[str] = []
    for name in names:
        inner = bare(name)
        if not inner.startswith(prefix):
            left.append(name)
            continue
        inner = inner[len(prefix) :]
        new = wanted.get(inner, inner)
        if new in taken:
            left.append(name)
        else:
            taken.add(new)
            renamed[name] = new
    return Renaming(prefix, renamed, tuple(left))
