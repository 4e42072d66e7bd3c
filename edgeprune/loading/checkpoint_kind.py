"""A kind of checkpoint that its users hold: what a network of that kind needs besides its weights.

Libraries keep beside the weights what a network is run with: image size, stride, class names, and
a switch that makes its head fit for export. One adapter reads one library's networks, so that no
algorithm knows of any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


@dataclass(frozen=True, slots=True)
class Adapted:
    """A network as it is to be exported, and what its library says of it.

    Attributes:
        network: The network, perhaps with another head or inside an adapter.
        shapes: Shapes of its inputs, batch 1; empty: not known.
        mean: Per-channel mean of its images, in units of [0, 1] pixels; None: not known.
        std: Per-channel standard deviation, same units; None: not known.
        metadata: Texts for the exported file that the library reads from there.
    """

    network: nn.Module
    shapes: tuple[tuple[int, ...], ...] = ()
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    metadata: tuple[tuple[str, str], ...] = ()


class CheckpointKind(Protocol):
    """Reads the networks of one library."""

    def recognises(self, network: nn.Module) -> bool:
        """Whether the network is one of the library's."""

    def adapted(
        self, network: nn.Module, checkpoint: Mapping[object, object], *, raw_head: bool
    ) -> Adapted:
        """Make the network fit for export.

        Args:
            network: The network; changed in place.
            checkpoint: What lay beside it in its file; empty if it came from memory.
            raw_head: Give what the last layers say, before it is decoded.
        """
