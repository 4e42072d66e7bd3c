"""Names of weights under wrappers: which prefix, and which words inside, make them fit a network.

DataParallel, torch.compile and sharding put a word of their own into every name, in front or
inside ("features.module.0.weight"); training code puts a prefix in front ("model.", "backbone.",
"ema.module."). No list of prefixes is needed: a prefix counts if names of the network follow it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprune.loading.checkpoint_entries import is_averaged

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def renamings(given: Iterable[str], wanted: Iterable[str]) -> list[Renaming]:
    """Ways to read the names of a file, the likeliest first.

    Args:
        given: Names in the file.
        wanted: Names in the network.

    Returns:
        Names under a prefix of averaged weights first, then as they stand, then under the prefix
        that fits most names.
    """
    names = tuple(given)
    plain = {bare(name): name for name in wanted}
    votes = Counter(prefix for name in names for prefix in _prefixes(bare(name), plain))
    most = max(votes.values(), default=0)
    likely = [prefix for prefix in votes if 2 * votes[prefix] > most]
    ranked = sorted(likely, key=lambda prefix: (-votes[prefix], len(prefix)))[:TRIED]
    averaged = [_under(prefix, names, plain) for prefix in ranked if is_averaged(prefix)]
    others = [_under(prefix, names, plain) for prefix in ranked if not is_averaged(prefix)]
    return [*averaged, Renaming("", {name: name for name in names}), *others]


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
