"""Why channels must stay whole.

Reasons are of two kinds: what a set of channels meets on its way, and how a group as a whole is
made. What no rule foresees is found by the proof after surgery, which then locks the group.
"""

from __future__ import annotations

import difflib
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.shared_parameters import sharing
from edgeprune.tracing.couplings.disjoint_sets import NOTHING
from edgeprune.tracing.couplings.step import flat

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from torch import nn

    from edgeprune.artifacts import ChannelGroup
    from edgeprune.tracing.couplings import Couplings
    from edgeprune.tracing.couplings.disjoint_sets import Ints
    from edgeprune.tracing.couplings.labels import Tie
    from edgeprune.tracing.sides import Side


def matching_layers(module: nn.Module, globs: Sequence[str]) -> dict[str, str]:
    """Layers that the user keeps.

    Args:
        module: The network.
        globs: Patterns over dotted names; one that names a container keeps all inside.

    Returns:
        For each layer that matches, the glob that it matches.

    Raises:
        UsageError: If a glob matches nothing; names what is close.
    """
    names = [name for name, _ in module.named_modules() if name]
    owners = [name for name in names if _owns_channels(module.get_submodule(name))]
    found: dict[str, str] = {}
    for glob in globs:
        matched = {n: glob for n in owners if fnmatchcase(n, glob) or fnmatchcase(n, f"{glob}.*")}
        if not matched:
            close = [name for name in difflib.get_close_matches(glob, names, n=4) if name != glob]
            hint = f"; close to it: {', '.join(close)}" if close else ""
            raise UsageError(f"--keep '{glob}' matches no layer that has channels{hint}")
        found |= matched
    return found


def set_locks(
    couplings: Couplings,
    sides: Sequence[Side],
    tensor_locks: Sequence[tuple[Ints, str]],
    kept_layers: Mapping[str, str],
) -> dict[int, str]:
    """Why sets of channels stay whole; of several reasons the first counts.

    Args:
        couplings: Labels of the network.
        sides: Every side of every layer.
        tensor_locks: Sets that some tensor keeps whole, with the reason.
        kept_layers: From :func:`matching_layers`.

    Returns:
        For each locked set a reason, in words that fit behind a group's name.
    """
    locks: dict[int, str] = {}
    for sets, why in (
        *_kept(sides, kept_layers),
        *_returned(couplings),
        *_shared(couplings.module, sides),
        *tensor_locks,
        *((couplings.labels.sets_of(labels), why) for labels, why in couplings.labels.locks),
    ):
        for one in np.unique(sets[sets != NOTHING]).tolist():
            locks.setdefault(one, why)
    return locks


def group_lock(
    group: ChannelGroup, sets: Ints, couplings: Couplings, live: Collection[str]
) -> str | None:
    """Why no channel of a group may go, because of how it is made; None when they may.

    Args:
        group: The group.
        sets: Its sets of channels.
        couplings: Labels of the network.
        live: Layers that the network's outputs depend on.
    """
    makers = [member.layer for member in group.having("producer", "depthwise")]
    if not any(layer in live for layer in makers):
        return "nothing that the network returns depends on it"
    if group.width == 1:
        return "it has a single channel"
    if group.partitions == group.width:
        tie = _tie(sets, couplings)
        return f"its channels only go all together: {tie.why if tie else 'they meet each other'}"
    return None


def held_by_code(group: ChannelGroup, sets: Ints, couplings: Couplings, *, is_met: bool) -> bool:
    """Whether it may be a number in the network's code that leaves nothing to be removed.

    Args:
        group: A locked group.
        sets: Its sets of channels.
        couplings: Labels of the network.
        is_met: Whether what locks it is something that it meets.
    """
    labels = couplings.labels
    if is_met:
        return any(np.isin(labels.sets_of(each), sets).any() for each in labels.of_fixed_count)
    tie = _tie(sets, couplings) if group.partitions == group.width > 1 else None
    return tie is not None and tie.by_code


def _tie(sets: Ints, couplings: Couplings) -> Tie | None:
    labels = couplings.labels
    return next((tie for tie in labels.ties if labels.sets_of(tie.label) in sets), None)


def _kept(sides: Sequence[Side], kept_layers: Mapping[str, str]) -> Iterator[tuple[Ints, str]]:
    for side in sides:
        if side.role != "consumer" and side.layer in kept_layers:
            yield side.sets, f"kept by --keep '{kept_layers[side.layer]}'"


def _returned(couplings: Couplings) -> Iterator[tuple[Ints, str]]:
    outputs = set(couplings.record.outputs)
    for view, labels in couplings.known.items():
        if labels is not None and view.value in outputs:
            yield couplings.labels.sets_of(flat(labels)), "its channels are the network's output"


def _shared(module: nn.Module, sides: Sequence[Side]) -> Iterator[tuple[Ints, str]]:
    """Layers that own a parameter together with another layer."""
    partners = sharing(module)
    for side in sides:
        if side.layer in partners:
            yield side.sets, f"'{side.layer}' and '{partners[side.layer]}' share a parameter"


def _owns_channels(layer: nn.Module) -> bool:
    """Whether a layer has parameters or statistics of its own."""
    own = (layer.parameters(recurse=False), layer.buffers(recurse=False))
    return any(True for tensors in own for _ in tensors)
