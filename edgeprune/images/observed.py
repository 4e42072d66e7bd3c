"""Images on their way from a source to a method: judged if drawn, and kept if imagined."""

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

DRAWING = 1 / 2
"""Of the time of a source, what one that draws by rule takes: more images are of little use."""

JUDGED = 1 << 20
"""So many pixels are looked at, in 64 to 256 images."""


@dataclass(slots=True, repr=False)
class ObservedSource:
    """A source, and what it gave last; as that source in all else, its ``repr`` included.

    Attributes:
        source: What makes the images.
        folder: Where a set that the original imagined is written; None: nowhere.
        name: Of the method that asks: its set is told by it where there is one already.
        seconds: What the source may take: it then makes fewer images, if it makes any.
        quality: How the original sees the images given last; None where a camera saw them, or
            where it has not stored what it expects.
    """

    source: ImageSource
    folder: Path | None
    name: str
    seconds: float = math.inf
    quality: ImageQuality | None = None

    @property
    def origin(self) -> str:
        """The source's."""
        return self.source.origin

    @property
    def kind(self) -> ImageKind:
        """The source's."""
        return self.source.kind

    def __repr__(self) -> str:
        return repr(self.source)

    def __call__(
        self, original: SourceModel, count: int, seed: int, progress: Progress | None = None
    ) -> tuple[Tensor, ...]:
        """The source's images."""
        inputs = self._made(original, count, seed, progress)
        self.quality = self._judged(original, inputs, seed)
        fresh = self.kind is ImageKind.SYNTHESIZED and not isinstance(self.source, Given)
        if fresh and self.folder is not None and distributed.first():
            self._write(original, inputs, seed, self.folder)
        return inputs

    def _made(
        self, original: SourceModel, count: int, seed: int, progress: Progress | None
    ) -> tuple[Tensor, ...]:
        source: Any = self.source
        if hasattr(source, "seconds"):
            source = replace(source, seconds=min(source.seconds, self.seconds))
        elif self.kind.synthetic and not isinstance(source, Given):
            return within_time(source, original, count, seed, DRAWING * self.seconds, progress)
        inputs: tuple[Tensor, ...] = source(original, count, seed, progress)
        return inputs

    def _judged(
        self, original: SourceModel, inputs: Sequence[Tensor], seed: int
    ) -> ImageQuality | None:
        if not self.kind.synthetic or not len(inputs[0]):
            return None
        pixels = max((each[0, 0].numel() for each in inputs if is_image(each)), default=1)
        some = min(256, max(64, JUDGED // pixels))
        try:
            found = quality(original, [each[:some] for each in inputs], seed)
        except ModelUnsupported:
            return None
        return replace(found, kind=self.kind)

    def _write(
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
            settings={"source": repr(self.source), "quality": str(self.quality)},
        )
        file = _unused(folder, self.name)
        image_sets.save(inputs, about, file)
        pictures = [each for each in inputs if is_image(each)]
        for place, each in enumerate(pictures, 1):
            tail = f"-input{place}" if len(pictures) > 1 else ""
            image_sets.contact_sheet(each, spec, file.with_name(f"{file.stem}{tail}.png"))


def _unused(folder: Path, name: str) -> Path:
    """``images.safetensors``; for a further set, that with the method's name in it."""
    file, number = folder / image_sets.FILE, 1
    while file.exists():
        again = f"-{number}" if number > 1 else ""
        file = folder / f"images-{name}{again}.safetensors"
        number += 1
    return file
