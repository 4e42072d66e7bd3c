"""trace → TracedModel: which channels can only be removed together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeprune.artifacts.pruned import PruningPlan
    from edgeprune.artifacts.recorded import OperatorTrace
    from edgeprune.artifacts.source import SourceModel
    from edgeprune.artifacts.written import WrittenSizes

Channels: TypeAlias = tuple[tuple[int, ...], ...]
"""For each channel of a group, the layer's own indices: none, one, or several after a flatten."""

Role: TypeAlias = Literal["producer", "norm", "depthwise", "parameter", "consumer"]

Side: TypeAlias = Literal["in", "out"]


@dataclass(frozen=True, slots=True)
class Filters:
    """The channels are the output rows of a convolution or linear layer."""

    layer: str


@dataclass(frozen=True, slots=True)
class BatchNormed:
    """The channels of ``of`` pass a BatchNorm."""

    layer: str
    of: LinearPath


@dataclass(frozen=True, slots=True)
class Depthwise:
    """Each channel of ``of`` passes its own depthwise filter."""

    layer: str
    of: LinearPath


@dataclass(frozen=True, slots=True)
class Scaled:
    """The channels of ``of`` are multiplied by a parameter, as layer scale does."""

    parameter: str
    of: LinearPath


@dataclass(frozen=True, slots=True)
class Sum:
    """The sum of several paths: a residual connection."""

    terms: tuple[LinearPath, ...]


LinearPath: TypeAlias = Filters | BatchNormed | Depthwise | Scaled | Sum
"""How the channels that a layer reads came about, activation functions and pooling left out."""


@dataclass(frozen=True, slots=True)
class Member:
    """One dimension of one layer that shrinks together with a channel group.

    Attributes:
        layer: Dotted name of a module, or of a parameter or buffer that no known layer owns.
        role: ``producer`` and ``consumer`` are the output and input side of a convolution or
            linear layer; ``norm``, ``depthwise`` and ``parameter`` lie between them.
        channels: The layer's own indices for each channel of the group.
        reads: For a consumer, how its channels came about; None where that is not linear.
        axis: For a parameter or buffer, the axis along which its channels lie.
    """

    layer: str
    role: Role
    channels: Channels
    reads: LinearPath | None = None
    axis: int = 0

    @property
    def is_one_to_one(self) -> bool:
        """Whether the layer has exactly one index for each channel of the group."""
        return all(len(indices) == 1 for indices in self.channels)

    @property
    def side(self) -> Side:
        """The side of the layer that shrinks: ``in`` for consumers, ``out`` for all others."""
        return "in" if self.role == "consumer" else "out"


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """Channels that can only be removed together, across all layers that share them.

    Attributes:
        name: Dotted name of the layer whose output channels count the group.
        width: Number of channels.
        members: Every layer that shrinks with the group.
        partitions: Number of equal partitions into which grouped convolutions and GroupNorm split
            the channels; the same positions must go from each.
        locked_because: Why no channel of it may be removed; None when they may.
        held_by_code: Whether that may be numbers in the network's code, which a recorded network
            does not have.
    """

    name: str
    width: int
    members: tuple[Member, ...]
    partitions: int = 1
    locked_because: str | None = None
    held_by_code: bool = False

    def having(self, *roles: Role) -> tuple[Member, ...]:
        """The members that play one of ``roles``."""
        return tuple(member for member in self.members if member.role in roles)

    def locked(self, reason: str, *, by_code: bool = False) -> ChannelGroup:
        """The same group, locked for ``reason``; ``by_code`` as in ``held_by_code``."""
        return replace(self, locked_because=reason, held_by_code=by_code)


@dataclass(frozen=True, slots=True)
class TracedModel:
    """A network with its channel groups, recorded once for all that read its operators.

    Attributes:
        source: The network, with its record.
        groups: Its channel groups, in the order of the layers they are named after.
        written: The numbers in it that count channels, where it is a recorded network; None where
            its forward is code.
    """

    source: SourceModel
    groups: tuple[ChannelGroup, ...]
    written: WrittenSizes | None = None

    @property
    def record(self) -> OperatorTrace:
        """Every operator that the network runs."""
        assert self.source.record is not None, "tracing records the network"
        return self.source.record

    @property
    def prunable(self) -> tuple[ChannelGroup, ...]:
        """The groups that are not locked."""
        return tuple(group for group in self.groups if group.locked_because is None)

    def with_locks(self, reasons: Mapping[str, str]) -> TracedModel:
        """The same network with groups locked that fail a trial, for the reason given by name."""
        groups = tuple(
            group.locked(reasons[group.name], by_code=True) if group.name in reasons else group
            for group in self.groups
        )
        return replace(self, groups=groups)

    def removed(self, plan: PruningPlan) -> dict[tuple[str, Side], set[int]]:
        """Which of its own channels each layer loses under ``plan``, on each side."""
        by_name = {group.name: group for group in self.groups}
        lost: dict[tuple[str, Side], set[int]] = {}
        for entry in plan.groups:
            for member in by_name[entry.group].members:
                gone = {index for channel in entry.removed for index in member.channels[channel]}
                lost.setdefault((member.layer, member.side), set()).update(gone)
        return lost
