"""record → WrittenSizes: numbers in a recorded network that count channels, to be counted anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgeprune.artifacts.traced import Side

    Sets: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class WrittenSize:
    """One number: how many of some indices there are.

    Attributes:
        step: Which step of the program was given it.
        argument: Which argument of the step.
        element: Which element, where the argument is a list; None where it is the number itself.
        sets: The sets of channels that lie at each of the indices that it counts, (N, M); an index
            goes when all of them go.
    """

    step: int
    argument: int
    element: int | None
    sets: Sets


@dataclass(frozen=True, slots=True, eq=False)
class MapProduct:
    """A product of feature maps, as attention has, outside of all layers.

    Attributes:
        macs: Its multiply-accumulates.
        sets: The sets of channels along what it makes, (N,): it costs in proportion to those left.
    """

    macs: int
    sets: Sets


@dataclass(frozen=True, slots=True, eq=False)
class WrittenSizes:
    """All numbers that count channels, and what else depends on channels outside of layers.

    Attributes:
        sizes: The numbers.
        products: Products of feature maps.
        sides: For each side of a layer, or tensor, the set that each of its own indices belongs to.
    """

    sizes: tuple[WrittenSize, ...]
    products: tuple[MapProduct, ...]
    sides: dict[tuple[str, Side], tuple[Sets, ...]]
