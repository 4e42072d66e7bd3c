"""Images that a small convolutional network makes, trained for the purpose: faster than pixels.

One latent vector an image and one generator for all are trained together on the objective of
inversion. What one image learns serves the others, and each further batch starts from the generator
as it is. In the spirit of FastDFKD (Fang et al., "Up to 100× Faster Data-Free Knowledge
Distillation", arXiv:2112.06253), without its meta step, which would need a second set of weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeprune import training
from edgeprune.artifacts import ImageKind, InputSpec
from edgeprune.images.image_sets import ImageSet
from edgeprune.images.synthesis.batch_cache import (
    BatchCache,
    TimeLimit,
    batch_size,
    in_batches,
    make_batches,
)
from edgeprune.images.synthesis.objective import Judge, Objective, is_image
from edgeprune.images.synthesis.optimisation import ImageTask, require_images, schedule
from edgeprune.natural_images import normalised
from edgeprune.random_inputs import random_inputs

if TYPE_CHECKING:
    from edgeprune.artifacts import Progress, SourceModel
    from edgeprune.training import Processes

LATENT = 128
"""Numbers that tell one image from another."""

GROUPS = 8
"""Of normalisation: by the image, so that no image depends on the others of its batch."""


@dataclass(frozen=True, slots=True)
class Generated:
    """Images of a generator with the statistics that the original has stored.

    Attributes:
        steps: Updates for each batch (more: nearer to the statistics, slower).
        learning_rate: Of Adam, for the generator and the latents.
        width: Channels of the generator, a multiple of 8 (more: finer images, slower).
        batch: Images at a time and process; 0: by their size, 128 up to 64x64 pixels, 16 from
            181x181 on.
        objective: What images should be like, next to the statistics.
        seconds: What it may take: fewer images are made, but one batch at least, and two runs no
            longer give the same; inf: what it takes.
    """

    steps: int = 100
    learning_rate: float = 5e-3
    width: int = 64
    batch: int = 0
    objective: Objective = Objective()  # noqa: RUF009 - frozen
    seconds: float = field(default=math.inf, compare=False, repr=False)

    kind: ClassVar[ImageKind] = ImageKind.SYNTHESIZED

    @property
    def origin(self) -> str:
        """Where the images are from, to follow "256 images"."""
        return f"(synthesized by a generator, {self.steps} steps a batch)"

    def __call__(
        self, original: SourceModel, count: int, seed: int, progress: Progress | None = None
    ) -> tuple[Tensor, ...]:
        """Make images as :class:`~edgeprune.images.source.ImageSource` says.

        Raises:
            ModelUnsupported: If the network has stored no statistics.
            UsageError: If it takes no images.
        """
        require_images(original)
        processes = training.join()
        time = TimeLimit(self.seconds, processes)
        judge = Judge(original, self.objective, processes)
        size = self.batch or batch_size(original.input.shapes)
        batches = in_batches(count, size, processes)
        spec, wanted = original.input, sum(map(len, batches))
        latents, *others = random_inputs(
            InputSpec(((1, LATENT), *spec.shapes)), batch=wanted, seed=seed
        )
        still = {str(at): each for at, each in enumerate(others) if not is_image(each)}
        painters = _painters(spec, self.width, seed)
        make = _Generation(self, judge, painters, latents, still, seed, processes, time)
        nothing = BatchCache(None, ImageSet(self.origin, self.kind, seed, "", spec.mean, spec.std))
        inputs = make_batches(make, batches, judge, nothing, time, progress)
        return tuple(each[:count] for each in inputs)


class Painter(nn.Module):
    """Latents (N, 128) → images (N, C, H, W) between black and white.

    Args:
        shape: Of the images, batch first.
        spec: What they are normalised with.
        width: Channels on the way, a multiple of 8.
    """

    def __init__(self, shape: tuple[int, ...], spec: InputSpec, width: int) -> None:
        super().__init__()
        _, channels, *self._size = shape
        self._ground = [-(-side // 4) for side in self._size]
        self._spec = spec
        self._width = width
        self.ground = nn.Linear(LATENT, width * self._ground[0] * self._ground[1])
        self.coarse = _block(width, width)
        self.fine = _block(width, width // 2)
        self.paint = nn.Conv2d(width // 2, channels, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        """Paint one image for each latent."""
        features = self.ground(latents).view(len(latents), self._width, *self._ground)
        half = [-(-side // 2) for side in self._size]
        features = self.coarse(F.interpolate(features, tuple(half)))
        features = self.fine(F.interpolate(features, tuple(self._size)))
        return normalised(self.paint(features).sigmoid(), self._spec)


class _Studio(nn.Module):
    """One painter for each input that is an image, and the latents of one batch.

    What the network takes besides images is noise, and stays as it is.
    """

    def __init__(self, painters: nn.ModuleDict, latents: Tensor, noise: dict[str, Tensor]) -> None:
        super().__init__()
        self.painters = painters
        self.latents = nn.Parameter(latents)
        self._noise = noise

    def forward(self, _: torch.Generator | None) -> list[Tensor]:
        found = {name: paint(self.latents) for name, paint in self.painters.items()} | self._noise
        return [found[name] for name in sorted(found, key=int)]


@dataclass(frozen=True, slots=True)
class _Generation:
    """Makes one batch after another, as :class:`~edgeprune.images.synthesis.batch_cache.Maker` says."""

    how: Generated
    judge: Judge
    painters: nn.ModuleDict
    latents: Tensor
    noise: dict[str, Tensor]
    seed: int
    processes: Processes
    time: TimeLimit

    def __call__(
        self, places: Tensor, number: int, progress: Progress | None
    ) -> tuple[Tensor, ...]:
        device, how = self.processes.device, self.how
        noise = {name: each[places].to(device) for name, each in self.noise.items()}
        studio = _Studio(self.painters, self.latents[places], noise).to(device)
        training.fit(
            ImageTask(studio, self.judge, places, self.seed, number * how.steps),
            schedule(how.steps, how.learning_rate, self.time.left()),
            seed=self.seed,
            progress=progress,
            processes=self.processes,
        )
        return tuple(each.detach() for each in studio(None))


def _painters(spec: InputSpec, width: int, seed: int) -> nn.ModuleDict:
    """A painter for each input that is an image, by the input's place."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return nn.ModuleDict(
            {
                str(place): Painter(shape, spec, width)
                for place, shape in enumerate(spec.shapes)
                if len(shape) == 4
            }
        )


def _block(read: int, made: int) -> nn.Sequential:
    """Normalise, convolve, normalise, bend."""
    return nn.Sequential(
        nn.GroupNorm(GROUPS, read),
        nn.Conv2d(read, made, 3, padding=1),
        nn.GroupNorm(GROUPS // 2, made),
        nn.LeakyReLU(0.2),
    )
