"""The part of report.json that says how much of a network pruning could reach."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Locked:
    """A layer that could not be pruned, why, and its share of the original's MACs."""

    layer: str
    reason: str
    macs_share: float


@dataclass(frozen=True, slots=True)
class Shrinking:
    """A group of channels, and the share of the original's MACs that goes as they go."""

    name: str
    width: int
    macs_share: float


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the network pruning could reach.

    The prunable share of MACs is what goes as all groups go that are not locked. It says not how
    far: layers whose outputs stay, which have the fixed share, shrink with their inputs alone.
    """

    prunable_macs_share: float
    locked: tuple[Locked, ...]
    fixed_width_macs_share: float | None = None
    groups: tuple[Shrinking, ...] = ()
