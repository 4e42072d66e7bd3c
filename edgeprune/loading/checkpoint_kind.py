"""A kind of checkpoint that its users hold: what a network of that kind needs besides its weights.

Libraries keep beside the weights what a network is run with: image size, stride, class names, and
a switch that makes its head fit for export. One adapter reads one library's networks, so that no
algorithm knows of any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from edgeprune.artifacts import InputSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


Shapes: TypeAlias = tuple[tuple[int, ...], ...]
"""One shape for each positional input, batch first."""

UNKNOWN = InputSpec((), (), ())
"""Inputs of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """A network as it is to be exported, and what its library says of it.

    Attributes:
        network: The network, perhaps with another head or inside an adapter.
        input: What it takes, as far as the library says; what is empty is not known.
    """

    network: nn.Module
    input: InputSpec = UNKNOWN


class CheckpointKind(Protocol):
    """Reads the networks of one library."""

    def recognises(self, network: nn.Module) -> bool:
        """Whether the network is one of the library's."""

    def adapted(
        self,
        network: nn.Module,
        checkpoint: Mapping[object, object],
        shapes: Shapes,
        *,
        raw_head: bool,
    ) -> Adapted:
        """Make the network fit for export.

        Args:
            network: The network; changed in place.
            checkpoint: What lay beside it in its file; empty if it came from memory.
            shapes: Shapes of the inputs that the user gave; empty: what the library says.
            raw_head: Give what the last layers say, before it is decoded.
        """
