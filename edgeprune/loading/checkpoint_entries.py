"""A checkpoint → the one entry in it that is the network: averaged weights before raw ones.

Training scripts save a dictionary: weights or a whole network under some key, often an average
over the last steps (EMA, SWA) beside the raw ones, and the optimizer. The averaged weights are
those that were validated, so they are taken, and which entry was taken is said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from torch import Tensor, nn

from edgeprune.errors import ModelRefused, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Content: TypeAlias = "nn.Module | Mapping[str, object]"
"""A whole network, or its weights by name."""

USUAL = (
    *("state_dict", "model", "model_state_dict", "module", "net", "network", "params", "weights"),
    *("generator", "backbone"),
)
"""Keys that may hold weights or a network; the first that does wins."""

AVERAGED = {"ema", "swa", "averaged", "average"}
"""Words in the name of an entry, or of a wrapper, that holds averaged weights."""

OF_TRAINING = ("optim", "sched", "scaler", "loops", "hyper_param", "callbacks", "message_hub")
"""Beginnings of keys that hold the state of the training."""

DEEPEST = 3  # wrappers in wrappers
SHOWN = 3  # names in an error


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a checkpoint.

    Attributes:
        path: Keys that lead to it, joined by dots; empty for the whole object.
        content: The network or the weights there.
        notes: What the user should know of the choice.
    """

    path: str
    content: Content
    notes: tuple[str, ...] = ()


def chosen_entry(loaded: object, path: Path, asked: str | None = None) -> Entry:
    """The network, or the weights, in a loaded object.

    Args:
        loaded: What the file holds.
        path: The file, for errors.
        asked: The entry that the user asked for, by its keys joined by dots; None: averaged
            weights, else the usual keys, else the only entry that there is. An entry that is
            not there may be a prefix of names, which is looked for later.

    Raises:
        ModelRefused: The object holds neither.
        UsageError: It holds several, and none is the usual one.
    """
    entries = list(_entries(loaded, (), DEEPEST))
    if not entries:
        raise ModelRefused(f"'{path}' holds {_what(loaded)}, but neither a network nor its weights")
    if asked is not None:
        wanted = next((each for each in entries if each.path == asked), None)
        if wanted is not None:
            return wanted
    best = _best(entries, loaded)
    if best is None:
        names = " and ".join(repr(each.path) for each in entries[:SHOWN])
        raise UsageError(f"'{path}' holds several networks, {names}: choose one with --entry")
    return Entry(best.path, best.content, tuple(_notes(best, entries, loaded)))


def is_averaged(name: str) -> bool:
    """Whether a name says that what it holds is an average: "ema", "state_dict_ema"."""
    return not AVERAGED.isdisjoint(re.split(r"[^a-z]+", name.lower()))


def of_averages(taken: str, *found: str) -> str:
    """What to say where averaged weights are taken: how the raw ones among all are had instead."""
    raw = next((each for each in found if each and not is_averaged(each)), None)
    hint = "" if raw is None else f"; --entry {raw} takes the others"
    return f"the averaged weights under '{taken}' are taken{hint}"


def _best(entries: Sequence[Entry], loaded: object) -> Entry | None:
    averaged = [each for each in entries if is_averaged(each.path)]
    if averaged and not _swapped(loaded):
        return averaged[0]
    raw = [each for each in entries if not is_averaged(each.path)]
    for key in ("", *USUAL):
        for each in raw:
            if each.path.partition(".")[0] == key:
                return each
    return raw[0] if len(raw) == 1 else None


def _swapped(loaded: object) -> bool:
    """Whether the averaged weights are under the raw ones' name, as MMEngine saves them."""
    meta = loaded.get("meta") if isinstance(loaded, Mapping) else None
    return isinstance(meta, Mapping) and "mmengine_version" in meta


def _notes(best: Entry, entries: Sequence[Entry], loaded: object) -> Iterator[str]:
    if is_averaged(best.path):
        yield of_averages(best.path, *(each.path for each in entries))
    elif not _swapped(loaded) and isinstance(loaded, Mapping):
        for key, value in loaded.items():
            if isinstance(key, str) and is_averaged(key) and isinstance(value, Mapping | list):
                yield (
                    f"the raw weights under '{best.path}' are taken: '{key}' beside them holds no "
                    "network that can be read"
                )


def _entries(loaded: object, keys: tuple[str, ...], depth: int) -> Iterator[Entry]:
    if isinstance(loaded, nn.Module) or is_state_dict(loaded):
        yield Entry(".".join(keys), loaded)  # type: ignore[arg-type]
    elif isinstance(loaded, Mapping) and depth:
        for key, value in loaded.items():
            if isinstance(key, str) and not key.lower().startswith(OF_TRAINING):
                yield from _entries(value, (*keys, key), depth - 1)


def is_state_dict(loaded: object) -> bool:
    """Whether an object is a dictionary of tensors by name, whatever plain values lie between."""
    if not isinstance(loaded, Mapping) or not any(isinstance(v, Tensor) for v in loaded.values()):
        return False
    plain = (Tensor, str, int, float, bool, type(None))
    return all(
        isinstance(key, str) and (isinstance(value, plain) or key.endswith("_extra_state"))
        for key, value in loaded.items()
    )


def _what(loaded: object) -> str:
    if not isinstance(loaded, Mapping):
        return f"a {type(loaded).__name__}"
    keys = ", ".join(repr(key) for key in list(loaded)[:SHOWN])
    return f"a dictionary with {keys} …" if loaded else "an empty dictionary"
