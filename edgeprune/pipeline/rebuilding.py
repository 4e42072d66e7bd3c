"""Where a network's code writes out channel counts, go on with its recorded graph instead.

In a recorded network these counts are numbers that follow the channels. It takes the place of the
network only if it computes the same and more channels can go; all others stay what they are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgeprune.errors import ModelUnsupported, VerificationFailed
from edgeprune.graph.cpu_limit import cpu_limit
from edgeprune.graph.program_recording import recorded
from edgeprune.program.network import RecordedNetwork
from edgeprune.pruning import lock_failing, require_same
from edgeprune.tracing import trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune.artifacts import SourceModel, TracedModel

TIME_LIMIT_S = 60.0
"""CPU seconds after which a graph is given up; the network is then what its code lets it be."""

NOTE = (
    "the network's code writes out channel counts: the compressed network is its recorded graph, "
    "layers and their names as in the original, for inputs of {} at any batch size; what the code "
    "did in training alone, such as functional dropout, is not in it"
)


def rebuilt_where_written(
    traced: TracedModel, source: SourceModel, keep: Sequence[str] = ()
) -> TracedModel:
    """The network by its recorded graph, if that lets more of its channels go.

    Args:
        traced: The network with its groups, those whose surgery fails locked.
        source: The network.
        keep: As for tracing.

    Returns:
        ``traced`` itself, where need be with the reason why no graph stands for its code; or the
        recorded network with its groups and a note.
    """
    held = {g.name: g.locked_because for g in traced.groups if g.held_by_code}
    if not held or isinstance(source.module, RecordedNetwork):
        return traced
    try:
        with cpu_limit(TIME_LIMIT_S, lambda: f"its graph took more than {TIME_LIMIT_S:g} s"):
            module = recorded(source.module, source.input)
            require_same(source.module, module, source.input)
            note = NOTE.format(" and ".join(source.input.texts))
            other = replace(source, module=module, record=None, notes=(*source.notes, note))
            opened = lock_failing(trace(other, keep=keep))
    except (ModelUnsupported, VerificationFailed) as why:
        return traced.with_locks({name: f"{reason}; {why}" for name, reason in held.items()})
    return opened if _free(opened) > _free(traced) else traced


def _free(traced: TracedModel) -> int:
    """Number of channels that may go."""
    return sum(group.width for group in traced.prunable)
