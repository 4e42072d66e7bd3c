"""What a network loses when a channel group becomes narrower, group by group."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SensitivityCurve:
    """What the network loses with channels of one group, all other groups whole.

    Attributes:
        group: Name of the group.
        criterion: How its channels were ranked; the lowest go first.
        widths: Channels that stay, descending; the first is the width of the original.
        errors: What the network then misses, after a repair of the layers that read the group:
            shares of what varies at its outputs and at the ends of its resolutions; 0 at first.
    """

    group: str
    criterion: str
    widths: tuple[int, ...]
    errors: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """The curves of a network's groups.

    Attributes:
        curves: One for each group that may lose channels.
        images: Number of images that errors were measured on.
        origin: Where these are from.
    """

    curves: tuple[SensitivityCurve, ...]
    images: int
    origin: str
