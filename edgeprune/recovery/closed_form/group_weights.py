"""The convolution groups of a layer: its weight as outputs x inputs x taps, group by group.

Every layer that reads channels takes this form: convolutions, grouped and transposed ones, and
linear layers, so that a closed form is written once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprune.graph.layers import weight_views

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class GroupWeight:
    """One convolution group of the original, without the outputs it lost.

    Attributes:
        weight: (O, I, T) over all of its original inputs.
        start: Index of its first input in the layer.
        place: Where each input that stays is found in the pruned weight.
    """

    weight: Tensor
    start: int
    place: dict[int, int]


def group_weights(
    layer: nn.Module, rows_lost: set[int], columns_lost: set[int]
) -> Iterator[GroupWeight]:
    """The convolution groups of an original layer; one for layers that are not grouped."""
    for number, weight in enumerate(weight_views(layer)):
        outputs, inputs = weight.shape[:2]
        rows = [o for o in range(outputs) if number * outputs + o not in rows_lost]
        start = number * inputs
        stay = [start + i for i in range(inputs) if start + i not in columns_lost]
        yield GroupWeight(weight[rows].double(), start, {own: at for at, own in enumerate(stay)})
