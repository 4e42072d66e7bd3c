"""Let the channels that stay carry the removed ones: redistribution into the consumers.

If each removed channel is a_r ≈ Σ_k S[r, k] a_k, a layer that read all of them keeps its output
by absorbing S into its own weight:

    V'[:, k] = V[:, k] + Σ_r V[:, r] S[r, k]        the same S for every tap of V

This holds for every consumer of a group, each with the S of what it reads: convolutions, grouped
ones (inside each group), transposed ones, and linear layers behind a flatten, whose columns are
taps. Methods differ only in how they find S.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn

from edgeprune.artifacts import Note, RecoveryStep
from edgeprune.graph.layers import weight_views
from edgeprune.moments.propagation import propagate
from edgeprune.recovery.closed_form.composed_filters import ComposedFilters, FilterComposer
from edgeprune.recovery.closed_form.group_weights import GroupWeight, group_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgeprune.artifacts import KeptChannels, Member, Progress, PrunedModel, TracedModel
    from edgeprune.moments.propagation import Moments

Mixing: TypeAlias = Callable[[ComposedFilters, Tensor, Tensor], Tensor]
"""(filters, kept (K,), removed (R,)) → coefficients (R, K)."""


@dataclass(frozen=True, slots=True)
class Redistributed:
    """The outcome of a redistribution.

    Attributes:
        module: The pruned network with its consumers' weights updated.
        layers: How many consumers were updated.
        left_out: Consumers left as they were, because what they read is not a linear composition.
    """

    module: nn.Module
    layers: int
    left_out: tuple[str, ...]


def compensated(layers: int, left_out: Sequence[str], *, because: str) -> Note:
    """How many layers a closed form compensated, and which it could not.

    Args:
        layers: Number of layers compensated.
        left_out: Dotted names of the others.
        because: Why these were left out.
    """
    return Note("compensated", {"layers": layers, "left_out": left_out, "because": because})


def recovered(
    method: str,
    mixing: Mixing,
    traced: TracedModel,
    pruned: PrunedModel,
    progress: Progress | None = None,
    *,
    with_moments: bool = False,
) -> PrunedModel:
    """Recover a pruned network by a redistribution, and record the step under the method's name.

    Args:
        method: Name of the step.
        mixing: Finds the coefficients for one consumer.
        traced: The original with its groups.
        pruned: The result of surgery; copied, not changed.
        progress: Callback for the share done, called after each group.
        with_moments: Whether ``mixing`` is given the moments and the consumer's norm too.

    Returns:
        The recovered network.
    """
    start = time.perf_counter()
    known = moments_of_consumers(traced, pruned) if with_moments else None
    found = redistribute(traced, pruned, mixing, progress, known)
    note = compensated(found.layers, found.left_out, because="no linear path to them")
    step = RecoveryStep(method, time.perf_counter() - start, 0, (note,))
    return replace(pruned, module=found.module, recovered_by=(*pruned.recovered_by, step))


@torch.no_grad()
def redistribute(
    traced: TracedModel,
    pruned: PrunedModel,
    mixing: Mixing,
    progress: Progress | None = None,
    known: Mapping[str, Moments] | None = None,
) -> Redistributed:
    """Update every consumer of every pruned group.

    Args:
        traced: The original with its groups.
        pruned: The result of surgery; copied, not changed.
        mixing: Finds the coefficients for one consumer.
        progress: Callback for the share done, called after each group.
        known: Moments of what consumers read, by dotted name; handed on to ``mixing``.

    Returns:
        The updated network.
    """
    module = copy.deepcopy(pruned.module)
    groups = {group.name: group for group in traced.groups}
    lost = traced.removed(pruned.plan)
    done, left_out = 0, []
    for place, entry in enumerate(pruned.plan.groups):
        group = groups[entry.group]
        composer = FilterComposer(traced.source.module, group)
        for member in group.having("consumer"):
            if member.reads is None:
                left_out.append(member.layer)
                continue
            filters = composer.compose(member.reads)
            original = traced.source.module.get_submodule(member.layer)
            rows_lost = lost.get((member.layer, "out"), set())
            columns_lost = lost[member.layer, "in"]
            parts = list(group_weights(original, rows_lost, columns_lost))
            if known is not None:
                filters = _informed(filters, member, parts, known.get(member.layer))
            views = weight_views(module.get_submodule(member.layer))
            for part, view in zip(parts, views, strict=True):
                _fold(part, view, member, entry, partial(mixing, filters))
            done += 1
        if progress is not None:
            progress((place + 1) / len(pruned.plan.groups), entry.group)
    return Redistributed(module, done, tuple(left_out))


def moments_of_consumers(traced: TracedModel, pruned: PrunedModel) -> dict[str, Moments]:
    """Moments of what the consumers in reach of a redistribution read, where known; by name."""
    cut = {entry.group for entry in pruned.plan.groups}
    consumers = {
        member.layer
        for group in traced.groups
        for member in group.having("consumer")
        if group.name in cut and member.reads is not None
    }
    found = propagate(traced.source).of_layers(consumers)
    return {layer: moments for layer, moments in found.items() if moments is not None}


def _informed(
    filters: ComposedFilters, member: Member, parts: Sequence[GroupWeight], moments: Moments | None
) -> ComposedFilters:
    """The filters with their consumer norms, and with their moments if these are known."""
    norms = [torch.linalg.vector_norm(part.weight, dim=(0, 2)).square() for part in parts]
    by_input = torch.cat(norms)
    consumer_norm = torch.stack([by_input[list(own)].sum() for own in member.channels])
    if moments is None:
        return replace(filters, consumer_norm=consumer_norm)
    pixels = len(by_input) // len(moments.mean)  # more than one behind a flatten
    places = [own[0] // pixels if own else 0 for own in member.channels]  # 0: not read, not asked
    return replace(filters, consumer_norm=consumer_norm, moments=moments.of(torch.tensor(places)))


def _fold(
    part: GroupWeight,
    view: Tensor,
    member: Member,
    entry: KeptChannels,
    mixing: Callable[[Tensor, Tensor], Tensor],
) -> None:
    """Add to ``view``, the pruned weight of one convolution group (O, K, T), what it now carries.

    An input channel of the group may be several columns of the layer: behind a flatten they are
    taps like the kernel's own.
    """
    end = part.start + part.weight.shape[1]
    own = member.channels
    read = [c for c in range(entry.width) if own[c] and part.start <= own[c][0] < end]
    kept = [c for c in entry.kept if c in set(read)]
    gone = [c for c in entry.removed if c in set(read)]
    if not kept or not gone:
        return
    coefficients = mixing(torch.tensor(kept), torch.tensor(gone))
    columns = torch.tensor([[index - part.start for index in own[c]] for c in gone])
    outputs = len(part.weight)
    removed = part.weight[:, columns.flatten()].reshape(outputs, len(gone), -1)
    carried = torch.einsum("ort,rk->okt", removed, coefficients)
    places = torch.tensor([part.place[index] for c in kept for index in own[c]])
    view.index_add_(1, places, carried.reshape(outputs, len(places), -1).to(view.dtype))
