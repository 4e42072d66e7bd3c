"""SourceModel → TracedModel: which channels can only be removed together, and which never.

Channels are followed through the recorded operators; groups are described by layer names and
index maps, so that nothing after this stage needs to know how they were found.

couplings/   labels of channels, one rule an operator    locks.py         why channels stay
sides.py     layers and tensors along channels           linear_paths.py  how they came about
groups.py    what goes together, as groups               refusals.py      what one run cannot show
written_sizes.py, companions.py    numbers that count channels, and parts, of a recorded network
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edgeprune.artifacts import ChannelGroup, SourceModel, TracedModel
from edgeprune.deep_stack import with_room
from edgeprune.errors import ModelUnsupported, failing_as
from edgeprune.graph.cpu_limit import cpu_limit
from edgeprune.graph.liveness import live_tensors
from edgeprune.graph.recording import operators_of
from edgeprune.program.network import RecordedNetwork
from edgeprune.tracing.companions import companions
from edgeprune.tracing.couplings import follow
from edgeprune.tracing.groups import grouped
from edgeprune.tracing.linear_paths import with_paths
from edgeprune.tracing.locks import group_lock, held_by_code, matching_layers, set_locks
from edgeprune.tracing.refusals import refuse_unrepeatable
from edgeprune.tracing.sides import sides
from edgeprune.tracing.written_sizes import written_sizes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgeprune.artifacts.recorded import OperatorTrace
    from edgeprune.artifacts.written import WrittenSizes


LIMIT_S = 120.0
"""CPU seconds that tracing may take; there are forwards without end."""


@with_room
def trace(
    source: SourceModel, *, keep: Sequence[str] = (), time_limit_s: float = LIMIT_S
) -> TracedModel:
    """Find the channel groups of a network, and lock those that must stay whole.

    Args:
        source: The network; it is not changed.
        keep: Globs of dotted layer names whose output channels stay, with all coupled to them.
        time_limit_s: CPU seconds after which to give up; there are forwards without end.

    Returns:
        All groups, locked ones with their reason.

    Raises:
        ModelUnsupported: If the network cannot be traced, or has no channel groups.
        UsageError: If a glob of ``keep`` matches no layer.
    """
    kept_layers = matching_layers(source.module, keep)
    found: list[str] = []

    def too_slow() -> str:
        return (
            f"tracing '{source.name}' took more than {time_limit_s:g} s of CPU time and was "
            f"stopped {', '.join(found) or 'while it ran'}"
        )

    with cpu_limit(time_limit_s, too_slow):
        record = _recorded(source)
        found.append(f"after {len(record.operations)} operators had been recorded")
        groups, written = _groups(source, record, kept_layers)
    if not groups:
        raise ModelUnsupported(
            f"'{source.name}' has no convolution or linear layer that tracing can see"
        )
    return TracedModel(replace(source, record=record), groups, written)


def _recorded(source: SourceModel) -> OperatorTrace:
    with failing_as(ModelUnsupported, "cannot trace the network"):
        record = operators_of(source)
    refuse_unrepeatable(record, source.module)
    return record


def _groups(
    source: SourceModel, record: OperatorTrace, kept_layers: Mapping[str, str]
) -> tuple[tuple[ChannelGroup, ...], WrittenSizes | None]:
    """All groups, in the order of the layers they are named after, and numbers that count them."""
    module = source.module
    order = {name: place for place, (name, _) in enumerate(module.named_modules())}
    couplings = follow(record, module)
    members, tensor_locks = sides(couplings.labels, module, order)
    locks = set_locks(couplings, members, tensor_locks, kept_layers)
    is_recorded = isinstance(module, RecordedNetwork)
    kinds = (
        companions(couplings, members)
        if is_recorded
        else np.zeros(len(couplings.labels), dtype=np.int64)
    )
    pairs = sorted(
        grouped(members, locks, kinds),
        key=lambda pair: order[pair[0].name.partition("[")[0]],
    )
    sets = [each for _, each in pairs]
    groups = with_paths([group for group, _ in pairs], sets, couplings)
    live = {name.rpartition(".")[0] for name in live_tensors(record, module)}
    found = []
    for group, own in zip(groups, sets, strict=True):
        met = next((locks[one] for one in own.tolist() if one in locks), None)
        why = met or group_lock(group, own, couplings, live)
        by_code = held_by_code(group, own, couplings, is_met=met is not None)
        found.append(group if why is None else group.locked(why, by_code=by_code))
    return tuple(found), written_sizes(couplings, members) if is_recorded else None
