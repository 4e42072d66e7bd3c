"""images → ImageQuality: what kind of images, and whether the original knows them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ImageKind(str, Enum):
    """Where images come from."""

    PROCEDURAL = "procedural"
    SYNTHESIZED = "synthesized"
    REAL = "real"

    @property
    def synthetic(self) -> bool:
        """Whether no camera saw them: statistics of features are not those of real images."""
        return self is not ImageKind.REAL


FAR_BELOW = 0.5
"""Images are good enough when their shift is below this share of noise's."""

NEARER = 0.75
"""Images whose shift is above this share of noise's are not of the kind that the network knows. On
nine networks that take photographs it was 0.28 to 0.49 for procedural images; on one that takes
spectra of speech 1.0 (``benchmarks/image_kind.py``)."""


@dataclass(frozen=True, slots=True)
class ImageQuality:
    """How the original sees a set of images.

    Attributes:
        images: How many were looked at.
        statistics_shift: How far what BatchNorms read is from what they have stored, in standard
            deviations of a channel; 0 for the training images.
        noise_shift: The same for as many images of white noise: the yardstick.
        confidence: Mean probability of the likeliest class; None where the network tells none.
        classes: How many classes are the likeliest of some image; None likewise.
        kind: Synthesized images are to pass; procedural ones serve methods that need no such
            images.
    """

    images: int
    statistics_shift: float
    noise_shift: float
    confidence: float | None = None
    classes: int | None = None
    kind: ImageKind = ImageKind.PROCEDURAL

    @property
    def passed(self) -> bool:
        """Whether the images are far nearer to those of the training than noise is."""
        return self.statistics_shift < FAR_BELOW * self.noise_shift

    @property
    def of_its_kind(self) -> bool:
        """Whether the network can tell the images from noise, so that training on them is safe."""
        return self.statistics_shift < NEARER * self.noise_shift

    @property
    def falls_short(self) -> bool:
        """Whether they are not what they were made to be."""
        return self.kind is ImageKind.SYNTHESIZED and not self.passed
