"""How the weights of a quantized layer are rounded to codes.

The quantizer has rounded them to the nearest code already. A rounding of another kind is given
every layer's weights, their scale and what the layers read, and returns the codes that it prefers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from edgeprune.export.qdq import WeightCodes
    from edgeprune.parity import Array

Activations: TypeAlias = "Callable[[Collection[str]], Iterator[Mapping[str, Array]]]"
"""Names of float tensors → their values for one calibration input after the other."""


class WeightRounding(Protocol):
    """Chooses codes; ``Nearest``, or your own."""

    def __call__(
        self, layers: Sequence[WeightCodes], activations: Activations
    ) -> Mapping[str, Array]:
        """Choose codes.

        Args:
            layers: Weights and nearest codes of every quantized layer, in the graph's order.
            activations: Gives what the float graph computes on the calibration inputs: a layer
                reads the first input of its node, ``WeightCodes.reads``.

        Returns:
            Signed codes by name of the node, each one of its weight's two neighbours, in the shape
            of the weights; layers that are missing keep the nearest codes.
        """
        ...


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest code of each weight."""

    def __call__(
        self, layers: Sequence[WeightCodes], activations: Activations
    ) -> Mapping[str, Array]:
        """No other codes than those of the quantizer."""
        return {}
