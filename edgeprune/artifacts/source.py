"""load → SourceModel: the network that came in."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING

from edgeprune import units

if TYPE_CHECKING:
    from torch import nn

    from edgeprune.artifacts.recorded import OperatorTrace

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FLOAT = "float32"


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What the network takes.

    Attributes:
        shapes: One shape for each positional input, batch first, batch 1.
        mean: Per-channel mean that images are normalised with, in units of [0, 1] pixels.
        std: Per-channel standard deviation, same units.
        dtypes: NumPy's name of the type of each input; empty: all are float32.
        metadata: Texts that the network's library reads from an exported file, by name.
        names: Name of each input in the exported file; empty: they are numbered.
    """

    shapes: tuple[tuple[int, ...], ...]
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    dtypes: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    names: tuple[str, ...] = ()

    @property
    def typed_shapes(self) -> tuple[tuple[tuple[int, ...], str], ...]:
        """Shape and type of each input."""
        return tuple(zip(self.shapes, self.dtypes or (FLOAT,) * len(self.shapes), strict=True))

    @property
    def pixels(self) -> int:
        """Pixels of one channel of the largest input."""
        return max(prod(shape[2:]) for shape in self.shapes)

    def images_of(self, pixels: int, fewest: int, most: int) -> int:
        """How many images have so many pixels together, within bounds."""
        return min(most, max(fewest, pixels // self.pixels))

    @property
    def texts(self) -> tuple[str, ...]:
        """Each input as one types it: "1x3x224x224", "1x16:int64", "pixel_values:1x3x224x224"."""
        names = self.names or ("",) * len(self.shapes)
        return tuple(
            (f"{name}:" if name else "")
            + units.dimensions(shape)
            + ("" if dtype == FLOAT else f":{dtype}")
            for name, (shape, dtype) in zip(names, self.typed_shapes, strict=True)
        )


@dataclass(frozen=True, slots=True)
class SourceModel:
    """A trained network, in eval mode, float32.

    Attributes:
        module: The network; no stage changes it.
        input: What it takes.
        name: Short name for files and reports.
        sha256: Digest of the weights, in hexadecimal.
        notes: What its user should know of how it was read; empty when nothing was chosen.
        record: Every operator that it runs; None until it is traced.
    """

    module: nn.Module
    input: InputSpec
    name: str
    sha256: str
    notes: tuple[str, ...] = ()
    record: OperatorTrace | None = field(default=None, compare=False, repr=False)
