"""The table of image sources that need no data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.choices import Choices
from edgeprune.images.procedural import DeadLeaves, PinkNoise
from edgeprune.images.synthesis.generator import Generated
from edgeprune.images.synthesis.inversion import Inversion

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprune.images.source import ImageSource

SOURCES: Choices[Callable[[], ImageSource]] = Choices(
    "image source",
    {
        "dead-leaves": DeadLeaves,
        "pink-noise": PinkNoise,
        "inversion": Inversion,
        "generator": Generated,
    },
)
