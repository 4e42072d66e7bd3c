"""Where the images come from that features are measured on; they need no labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edgeprune.calibration.procedural import DeadLeaves, PinkNoise
from edgeprune.choices import Choices

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from edgeprune.artifacts import InputSpec


class ImageSource(Protocol):
    """Makes inputs of a network; a row of :data:`SOURCES`, a folder, or your own."""

    @property
    def origin(self) -> str:
        """Where the images are from, to follow "256 images": "drawn by rule (dead leaves)"."""
        ...

    @property
    def drawn(self) -> bool:
        """Whether no camera saw them: statistics of features are then not those of real images."""
        ...

    def __call__(self, spec: InputSpec, count: int, seed: int) -> tuple[Tensor, ...]:
        """Make inputs.

        Args:
            spec: What the network takes.
            count: Images, N, at least 1; a source that has fewer returns all it has.
            seed: The same seed gives the same images.

        Returns:
            One float32 tensor (N, …) for each input, normalised as ``spec`` says. What is no
            image, because it is not 4-D, is standard normal noise.
        """
        ...


@dataclass(frozen=True, slots=True)
class Given:
    """Images that are there already.

    Attributes:
        images: One tensor (N, …) for each input, as the network takes them.
        origin: Where they are from.
        drawn: Whether no camera saw them.
    """

    images: tuple[Tensor, ...]
    origin: str = "given"
    drawn: bool = False

    def __call__(self, spec: InputSpec, count: int, seed: int) -> tuple[Tensor, ...]:
        """The first ``count`` of them, whatever the seed."""
        return tuple(each[:count] for each in self.images)


SOURCES: Choices[Callable[[], ImageSource]] = Choices(
    "image source",
    {
        "dead-leaves": DeadLeaves,
        "pink-noise": PinkNoise,
    },
)
