"""At which layers the original and a pruned network are to agree: the ends of blocks.

Inside of a block a pruned network should be free to compute otherwise: what it has lost there,
others have to make up for. At the end of a block the next one expects what it was trained on. So
these are the layers to compare, in the order of execution (features before the residual sum, as in
DFBF, arXiv:2306.12881):

* whatever is added to something else: the summands of a residual sum,
* layers of which no output was removed,
* the last layer at each resolution, for networks that have neither, and
* where a BatchNorm follows a layer, the BatchNorm instead of it.

All of it is read off the channel groups and the recorded operators; no architecture is known by
name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprune.artifacts import BatchNormed, Depthwise, Filters, Scaled, Sum
from edgeprune.graph.batch_norms import called_once, norm_after, shared_norms
from edgeprune.graph.layers import CHANNEL_LAYERS
from edgeprune.recovery.kept_channels import kept_outputs

if TYPE_CHECKING:
    from torch import Tensor

    from edgeprune.artifacts import PrunedModel, TracedModel
    from edgeprune.artifacts.recorded import OperatorTrace


@dataclass(frozen=True, slots=True)
class BlockEnd:
    """A layer whose output is compared.

    Attributes:
        layer: Dotted name of the layer.
        kept: Which of the original's channels the pruned network still has there, (K,); None: all.
    """

    layer: str
    kept: Tensor | None


def block_ends(traced: TracedModel, pruned: PrunedModel, *, normed: bool) -> tuple[BlockEnd, ...]:
    """Where to compare a pruned network with the original.

    Args:
        traced: The original with its groups.
        pruned: What is left of it.
        normed: Whether to take BatchNorms only: on synthetic images nothing else is at its level.

    Returns:
        The block ends in the order of execution; none where nothing can be compared.
    """
    record = traced.record
    behind, once = norm_after(record), called_once(record)
    norms = shared_norms(record, traced.source.module, pruned.module)
    last = {operation.layer: place for place, operation in enumerate(record.operations)}
    known = norms if normed else norms | (once - behind.keys())
    there = {
        name for name, layer in pruned.module.named_modules() if isinstance(layer, CHANNEL_LAYERS)
    }
    candidates = sorted(known & once & there, key=last.__getitem__)
    kept = kept_outputs(traced, pruned.plan, candidates)
    ends = {behind.get(layer, layer) for layer in _summands(traced)}
    ends |= set(candidates) - kept.keys()
    ends |= _last_at_each_resolution(record, candidates)
    return tuple(BlockEnd(name, kept.get(name)) for name in candidates if name in ends)


def _summands(traced: TracedModel) -> set[str]:
    """Layers whose output is added to something."""
    found: set[str] = set()
    seen: set[tuple[int, bool]] = set()
    stack = [
        (member.reads, False)
        for group in traced.groups
        for member in group.having("consumer")
        if member.reads is not None
    ]
    while stack:
        path, added = stack.pop()
        if (id(path), added) in seen:  # the consumers of a residual stream share most of it
            continue
        seen.add((id(path), added))
        match path:
            case Sum(terms):
                stack += [(term, True) for term in terms]
            case Scaled(_, of):
                stack.append((of, added))
            case BatchNormed(layer, of) | Depthwise(layer, of):
                found |= {layer} if added else set()
                stack.append((of, False))
            case Filters(layer):
                found |= {layer} if added else set()
    return found


def _last_at_each_resolution(record: OperatorTrace, candidates: list[str]) -> set[str]:
    """The candidate that runs last, of those whose outputs have the same height and width."""
    asked = set(candidates)
    last: dict[tuple[int, ...], str] = {}
    for operation in record.operations:
        if operation.layer in asked and operation.writes:
            last[operation.writes[0].shape[2:]] = operation.layer
    return set(last.values())
