"""PruningPlan → a smaller network, and the proof that it is the right one.

Channels are removed physically, layer by layer, on a copy. The result is compared with the
original in which the same channels are masked; groups that do not fit, or fail the comparison, are
found by bisection, so that one group that tracing misread does not spoil the rest.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import nn

from edgeprune.artifacts import KeptChannels, PrunedModel, PruningPlan, TracedModel
from edgeprune.deep_stack import with_room
from edgeprune.errors import UsageError, VerificationFailed
from edgeprune.graph.light_copy import detach_from, light_copy
from edgeprune.graph.liveness import tensors_read
from edgeprune.program.network import RecordedNetwork
from edgeprune.pruning.cutting import cut_layers
from edgeprune.pruning.dry_run import on_meta, shape_failure
from edgeprune.pruning.masking import DOES_NOT_RUN, compare_with_masked
from edgeprune.pruning.resizing import resize

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


@with_room
def prune(traced: TracedModel, plan: PruningPlan, *, tolerance: float = 1e-5) -> PrunedModel:
    """Remove the channels that ``plan`` does not keep, and prove the result.

    Args:
        traced: The original with its groups; it is copied, not changed.
        plan: Made for this network, or for one of the same shape.
        tolerance: Largest relative difference allowed between any layer's output and that of
            the masked original.

    Returns:
        The smaller network with its proof.

    Raises:
        UsageError: If the plan does not fit the network.
        VerificationFailed: If the result is not what masking says; :func:`failing_groups` tells
            which groups are to blame.
    """
    check_fits(traced, plan)
    module = remove_channels(traced, plan)
    proof = compare_with_masked(traced, plan, module, tolerance=tolerance)
    return PrunedModel(module, traced.source.input, plan, proof)


def remove_channels(traced: TracedModel, plan: PruningPlan) -> nn.Module:
    """Cut a copy of the network as ``plan`` says, without proof.

    Layers that inference never runs, such as auxiliary heads, would no longer fit; they are
    replaced by ``nn.Identity``.
    """
    module = light_copy(traced.source.module)
    axes = {member.layer: member.axis for group in traced.groups for member in group.members}
    lost = traced.removed(plan)
    cut_layers(module, lost, axes)
    if traced.written is not None:
        assert isinstance(module, RecordedNetwork)
        resize(module, traced.written, lost)
    _drop_unused(module, _used(traced))
    detach_from(traced.source.module, module)
    return module.eval()


def failing_groups(
    traced: TracedModel, plan: PruningPlan, *, tolerance: float = 1e-5
) -> dict[str, str]:
    """Find the groups whose surgery is not what masking says.

    What does not even fit is found first, by shapes alone.

    Args:
        traced: The original with its groups.
        plan: What to try.
        tolerance: As for :func:`prune`.

    Returns:
        Group names with what went wrong; empty when all of ``plan`` is sound, or no group of it
        is to blame.
    """
    spec = traced.source.input
    without_weights = on_meta(traced.source.module, spec)
    misfits: dict[str, str] = {}
    if without_weights is not None:
        bare, shapes = without_weights
        original = replace(traced, source=replace(traced.source, module=bare))
        misfits = _to_blame(
            plan, lambda part: shape_failure(remove_channels(original, part), shapes, spec)
        )
    rest = plan.of(tuple(entry for entry in plan.groups if entry.group not in misfits))
    return misfits | _to_blame(rest, lambda part: _failure(traced, part, tolerance))


def _to_blame(plan: PruningPlan, failure: Callable[[PruningPlan], str | None]) -> dict[str, str]:
    """The groups of a plan that fail, found by bisection; ``failure`` says what is wrong."""
    reason = failure(plan)
    if reason is None or not plan.groups:
        return {}
    if len(plan.groups) == 1:
        return {plan.groups[0].group: reason}
    middle = len(plan.groups) // 2
    failing: dict[str, str] = {}
    for half in (plan.groups[:middle], plan.groups[middle:]):
        failing |= _to_blame(plan.of(half), failure)
    if not failing:  # sound apart, unsound together
        failing = {entry.group: reason for entry in plan.groups[middle:]}
    return failing


def trial_plan(traced: TracedModel, *, seed: int = 0) -> PruningPlan:
    """A plan that takes a random half of every prunable group, to learn what surgery can do."""
    generator = random.Random(seed)
    entries = []
    for group in traced.prunable:
        partition = group.width // group.partitions
        stay = set(generator.sample(range(partition), (partition + 1) // 2))
        kept = tuple(i for i in range(group.width) if i % partition in stay)
        if len(kept) < group.width:
            entries.append(KeptChannels(group.name, group.width, kept))
    return PruningPlan(tuple(entries), traced.source.sha256, {})


def check_fits(traced: TracedModel, plan: PruningPlan) -> None:
    """Raise UsageError unless every group of ``plan`` exists, as wide as planned and unlocked."""
    groups = {group.name: group for group in traced.groups}
    for entry in plan.groups:
        group = groups.get(entry.group)
        if group is None:
            raise UsageError(f"the plan prunes '{entry.group}', which this network does not have")
        if group.width != entry.width:
            raise UsageError(
                f"the plan expects {entry.width} channels in '{entry.group}', "
                f"this network has {group.width}"
            )
        if group.locked_because is not None:
            raise UsageError(f"cannot prune '{entry.group}': {group.locked_because}")
        valid = set(entry.kept) <= set(range(group.width)) and len(set(entry.kept)) == len(
            entry.kept
        )
        if not entry.kept or not valid:
            raise UsageError(f"the plan keeps channels of '{entry.group}' that do not exist")
    counts = Counter(entry.group for entry in plan.groups)
    twice = next((name for name, count in counts.items() if count > 1), None)
    if twice is not None:
        raise UsageError(f"the plan prunes '{twice}' twice")


def _failure(traced: TracedModel, plan: PruningPlan, tolerance: float) -> str | None:
    """What goes wrong when ``plan`` is carried out; None when nothing does."""
    try:
        prune(traced, plan, tolerance=tolerance)
    except VerificationFailed as failure:
        return str(failure).removeprefix(f"{DOES_NOT_RUN}: ")
    return None


def _used(traced: TracedModel) -> set[str]:
    """Every module that inference runs or of which it reads a tensor, and all that contain one."""
    read = tensors_read(traced.record, traced.source.module)
    names = [name.rpartition(".")[0] for name in read]
    names += [operation.layer for operation in traced.record.operations]
    parts = [name.split(".") for name in names]
    return {".".join(each[:depth]) for each in parts for depth in range(len(each) + 1)}


def _drop_unused(module: nn.Module, used: Collection[str]) -> None:
    """Replace the largest sub-modules with parameters that inference has no use for."""
    for name, child in list(module.named_modules()):
        parent, _, leaf = name.rpartition(".")
        if (
            name
            and name not in used
            and parent in used
            and next(child.parameters(), None) is not None
        ):
            setattr(module.get_submodule(parent), leaf, nn.Identity())
