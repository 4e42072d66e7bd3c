"""How the channels that a layer reads came about, read off the recorded operators.

A recovery method that works on weights needs to know which filters, normalisations and sums lie
between the layers that make a group's channels and a layer that reads them. Activation functions,
pooling and squeeze-excite gates are treated as the identity: the closed forms reason
about the linear part. Where the path is not of these kinds there is no path.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from edgeprune.artifacts import BatchNormed, Depthwise, Filters, LinearPath, Scaled, Sum
from edgeprune.graph.computed_weights import with_computed_weight
from edgeprune.graph.running import module_of
from edgeprune.tracing.couplings.step import flat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune.artifacts import ChannelGroup, Member, Role
    from edgeprune.artifacts.recorded import Operation, Value
    from edgeprune.tracing.couplings import Couplings
    from edgeprune.tracing.couplings.disjoint_sets import Ints

GATES = ("sigmoid", "hardsigmoid")
STOPS = (
    *("slice", "split", "split_with_sizes", "select", "unbind", "index"),
    *("bmm", "baddbmm", "mm", "addmm", "convolution"),
)
"""Operators that no path goes through."""


def with_paths(
    groups: Sequence[ChannelGroup], sets: Sequence[Ints], couplings: Couplings
) -> list[ChannelGroup]:
    """Tell every consumer of every group how its channels came about.

    Args:
        groups: All groups of a network.
        sets: The sets of channels of each.
        couplings: Labels of the network.
    """
    paths = _Paths(groups, sets, couplings)
    for operation in couplings.record.operations:
        paths.follow(operation)
    return [
        replace(group, members=tuple(paths.told(member, place) for member in group.members))
        for place, group in enumerate(groups)
    ]


class _Paths:
    """The path of every value within every group, in the order in which values are made."""

    def __init__(
        self, groups: Sequence[ChannelGroup], sets: Sequence[Ints], couplings: Couplings
    ) -> None:
        self._couplings = couplings
        self._groups_of = _groups_by_value(sets, couplings)
        self._parameters = {name for name, _ in couplings.module.named_parameters()}
        self._exact = {
            (member.layer, member.role, place)
            for place, group in enumerate(groups)
            for member in group.members
            if member.is_one_to_one and self._is_flat(member)
        }
        self._paths: dict[tuple[Value, int], LinearPath | None] = {}
        self._made_by: dict[Value, str] = {}
        self._computed = with_computed_weight(couplings.record)
        self._reads: dict[tuple[str, int], list[LinearPath | None]] = defaultdict(list)

    def follow(self, operation: Operation) -> None:
        """Find the paths of what an operator writes, and of what a layer reads."""
        if operation.kind == "reshape" or not operation.writes:
            return
        if operation.macs:
            given = operation.reads[1 if operation.name == "addmm" else 0].value
            for group in self._groups_of.get(given, ()):
                path = self._paths.get((given, group))
                is_own = operation.layer not in self._computed
                self._reads[operation.layer, group].append(path if is_own else None)
        made = operation.writes[0].value
        is_view = operation.name == "expand"
        self._made_by[made] = (
            self._made_by.get(operation.reads[0].value, "") if is_view else operation.name
        )
        for group in self._groups_of.get(made, ()):
            self._paths[made, group] = self._path(operation, group)

    def told(self, member: Member, group: int) -> Member:
        """A member that knows its path, if it is a consumer that reads along a single one."""
        if member.role != "consumer":
            return member
        found = self._reads.get((member.layer, group), [])
        same = bool(found) and all(path is found[0] for path in found)
        return replace(member, reads=found[0]) if same else member

    def _path(self, operation: Operation, group: int) -> LinearPath | None:
        inputs = [v.value for v in operation.reads if group in self._groups_of.get(v.value, ())]
        layer = operation.layer
        if operation.name == "convolution" and layer in self._computed:
            return None
        if operation.name in ("convolution", "addmm", "mm") and self._is(layer, "producer", group):
            return Filters(layer)
        if operation.name == "convolution" and self._is(layer, "depthwise", group):
            of = self._paths.get((inputs[0], group)) if inputs else None
            return None if of is None else Depthwise(layer, of)
        if operation.kind == "norm":
            return self._normed(operation, group, inputs)
        if operation.name in STOPS or self._meets_statistics(operation, group):
            return None
        if operation.name == "add" and len(inputs) > 1:
            terms = tuple(self._paths.get((each, group)) for each in inputs)
            return Sum(tuple(term for term in terms if term)) if all(terms) else None
        if operation.name == "mul" and len(inputs) > 1:
            return self._product(inputs, group)
        passes = len(inputs) == 1 or operation.name == "_prelu_kernel"
        return self._paths.get((inputs[0], group)) if passes and inputs else None

    def _meets_statistics(self, operation: Operation, group: int) -> bool:
        """Whether channels meet what the network computes and is neither channels nor a gate."""
        return operation.kind == "pointwise" and any(
            view.value in self._couplings.record.activation_bytes
            and group not in self._groups_of.get(view.value, ())
            and self._made_by.get(view.value) not in GATES
            for view in operation.reads
        )

    def _normed(
        self, operation: Operation, group: int, inputs: Sequence[Value]
    ) -> LinearPath | None:
        """Only a BatchNorm with statistics of its own is linear."""
        running = module_of(self._couplings.module, operation.layer)
        of = self._paths.get((inputs[0], group)) if inputs else None
        linear = isinstance(running, nn.modules.batchnorm._BatchNorm)
        if of is None or not linear or running.running_mean is None:
            return None
        return (
            BatchNormed(operation.layer, of) if self._is(operation.layer, "norm", group) else None
        )

    def _product(self, inputs: Sequence[Value], group: int) -> LinearPath | None:
        """A parameter scales its channels; a sigmoid gate passes as a constant."""
        factors = [each for each in inputs if self._made_by.get(each) not in GATES]
        names = self._couplings.record.tensors
        scales = [names[each] for each in factors if each in names]
        others = [each for each in factors if each not in names]
        if len(others) != 1 or len(scales) > 1:
            return None
        of = self._paths.get((others[0], group))
        if of is None or not scales:
            return of
        exact = scales[0] in self._parameters and self._is(scales[0], "parameter", group)
        return Scaled(scales[0], of) if exact else None

    def _is_flat(self, member: Member) -> bool:
        """Whether a parameter has one number a channel."""
        if member.layer not in self._parameters:
            return True
        parameter = self._couplings.module.get_parameter(member.layer)
        return parameter.numel() == parameter.shape[member.axis]

    def _is(self, layer: str, role: Role, group: int) -> bool:
        return (layer, role, group) in self._exact


def _groups_by_value(sets: Sequence[Ints], couplings: Couplings) -> dict[Value, frozenset[int]]:
    """The groups whose channels each value holds."""
    labels = couplings.labels
    group_of = np.full(len(labels), -1)
    for place, each in enumerate(sets):
        group_of[each] = place
    of_label = np.append(group_of[labels.all_sets()], -1)  # the last for what has no channel
    found: dict[Value, frozenset[int]] = {}
    for view, held in couplings.known.items():
        if held is not None and view.value not in found:
            found[view.value] = frozenset(np.unique(of_label[flat(held)]).tolist()) - {-1}
    names = {source.layer: source for source in labels.sources.values() if source.role is None}
    for value, name in couplings.record.tensors.items():
        if name in names:
            found[value] = frozenset(np.unique(of_label[names[name].labels]).tolist()) - {-1}
    return found
