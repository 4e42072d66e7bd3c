"""Images on their way from a source to a method: scored if synthetic, and saved if synthesized."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgeprune import distributed
from edgeprune.artifacts import ImageKind
from edgeprune.errors import ModelUnsupported
from edgeprune.images import image_sets
from edgeprune.images.given import Given
from edgeprune.images.quality import quality
from edgeprune.images.synthesis.objective import is_image
from edgeprune.images.time_limit import within_time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from edgeprune.artifacts import ImageQuality, Progress, SourceModel
    from edgeprune.images.source import ImageSource

PROCEDURAL_SHARE = 1 / 2
"""Share of a source's time for procedural images: more of them are of little use."""

SCORED_PIXELS = 1 << 20
"""About as many pixels are scored, in 64 to 256 images."""


@dataclass(slots=True, repr=False)
class ObservedSource:
    """A source that scores and saves its images; in all else that source, ``repr`` included.

    Attributes:
        source: Source that makes the images.
        folder: Folder for sets of synthesized images; None: they are not saved.
        name: Name of the method that asks for images: part of the file name of a further set.
        seconds: Time limit of the source, for fewer images; infinite for none.
        score: Whether synthetic images are scored.
        quality: Quality of the images made last; None for real images, and for networks without
            BatchNorm statistics.
    """

    source: ImageSource
    folder: Path | None
    name: str
    seconds: float = math.inf
    score: bool = True
    quality: ImageQuality | None = None

    @property
    def origin(self) -> str:
        """Where the source says that its images are from."""
        return self.source.origin

    @property
    def kind(self) -> ImageKind:
        """The kind of the source's images."""
        return self.source.kind

    def __repr__(self) -> str:
        return repr(self.source)

    def __call__(
        self, original: SourceModel, count: int, seed: int, progress: Progress | None = None
    ) -> tuple[Tensor, ...]:
        """Make the source's images, score them and save them."""
        inputs = self._make(original, count, seed, progress)
        self.quality = self._quality_of(original, inputs, seed)
        is_new = self.kind is ImageKind.SYNTHESIZED and not isinstance(self.source, Given)
        if is_new and self.folder is not None and distributed.first():
            self._save(original, inputs, seed, self.folder)
        return inputs

    def _make(
        self, original: SourceModel, count: int, seed: int, progress: Progress | None
    ) -> tuple[Tensor, ...]:
        source: Any = self.source
        if hasattr(source, "seconds"):
            source = replace(source, seconds=min(source.seconds, self.seconds))
        elif self.kind.synthetic and not isinstance(source, Given):
            seconds = PROCEDURAL_SHARE * self.seconds
            return within_time(source, original, count, seed, seconds, progress)
        inputs: tuple[Tensor, ...] = source(original, count, seed, progress)
        return inputs

    def _quality_of(
        self, original: SourceModel, inputs: Sequence[Tensor], seed: int
    ) -> ImageQuality | None:
        if not self.score or not self.kind.synthetic or not len(inputs[0]):
            return None
        pixels = max((each[0, 0].numel() for each in inputs if is_image(each)), default=1)
        count = min(256, max(64, SCORED_PIXELS // pixels))
        try:
            scored = quality(original, [each[:count] for each in inputs], seed)
        except ModelUnsupported:
            return None
        return replace(scored, kind=self.kind)

    def _save(
        self, original: SourceModel, inputs: Sequence[Tensor], seed: int, folder: Path
    ) -> None:
        spec = original.input
        about = image_sets.ImageSet(
            origin=self.origin,
            kind=self.kind,
            seed=seed,
            model_sha256=original.sha256,
            mean=spec.mean,
            std=spec.std,
            settings={"source": repr(self.source), "quality": repr(self.quality)},
        )
        file = _unused(folder, self.name)
        image_sets.save(inputs, about, file)
        pictures = [each for each in inputs if is_image(each)]
        for place, each in enumerate(pictures, 1):
            suffix = f"-input{place}" if len(pictures) > 1 else ""
            image_sets.contact_sheet(each, spec, file.with_name(f"{file.stem}{suffix}.png"))


def _unused(folder: Path, name: str) -> Path:
    """``images.safetensors``; for a further set, that with the method's name in it."""
    file, number = folder / image_sets.FILE, 1
    while file.exists():
        suffix = f"-{number}" if number > 1 else ""
        file = folder / f"images-{name}{suffix}.safetensors"
        number += 1
    return file
