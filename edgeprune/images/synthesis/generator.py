"""Images of a small generator network, trained for the purpose: faster than training pixels.

One latent vector an image and one decoder for all are trained together on the objective of
inversion. What one image learns serves the others, and each further batch starts from the decoder
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
from edgeprune.artifacts import FLOAT, ImageKind, InputSpec
from edgeprune.images.image_sets import ImageSet
from edgeprune.images.synthesis.batch_cache import (
    BatchCache,
    batch_size,
    in_batches,
    make_batches,
)
from edgeprune.images.synthesis.objective import Objective, SynthesisLoss
from edgeprune.images.synthesis.optimisation import (
    ImageTask,
    image_shapes,
    require_images,
    schedule,
)
from edgeprune.images.time_limit import TimeLimit
from edgeprune.natural_images import normalised
from edgeprune.random_inputs import random_inputs

if TYPE_CHECKING:
    from edgeprune.artifacts import Progress, SourceModel
    from edgeprune.training import Processes

LATENT = 128
"""Length of the latent vector of an image."""

GROUPS = 8
"""Groups of GroupNorm, which no image of a batch changes for the others."""


@dataclass(frozen=True, slots=True)
class Generated:
    """Images of a generator with the statistics that the original has stored.

    Attributes:
        steps: Updates for each batch (more: nearer to the statistics, slower).
        learning_rate: Adam's step size, for the decoder and the latents.
        width: Channels of the decoder, a multiple of 8 (more: finer images, slower).
        batch: Images in a batch of one process; 0: by their size, 128 up to 64x64 pixels, 16 from
            181x181 on.
        objective: Weights of the terms next to the statistics.
        seconds: Time limit: fewer images are made, but one batch at least, and results are no
            longer reproducible; inf: no limit.
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
        """Synthesize images as :class:`~edgeprune.images.source.ImageSource` says.

        Raises:
            ModelUnsupported: If the network has stored no statistics.
            UsageError: If the network takes no images.
        """
        require_images(original)
        processes = training.join()
        limit = TimeLimit(self.seconds, processes)
        loss = SynthesisLoss(original, self.objective, processes)
        size = self.batch or batch_size(image_shapes(original.input).values())
        batches = in_batches(count, size, processes)
        spec, wanted = original.input, sum(map(len, batches))
        shapes, dtypes = zip(((1, LATENT), FLOAT), *spec.typed_shapes, strict=True)
        latents, *others = random_inputs(InputSpec(shapes, dtypes=dtypes), batch=wanted, seed=seed)
        decoders = _decoders(spec, self.width, seed)
        noise = {str(at): each for at, each in enumerate(others) if str(at) not in decoders}
        make = _BatchGeneration(self, loss, decoders, latents, noise, seed, processes, limit)
        uncached = BatchCache(None, ImageSet(self.origin, self.kind, seed, "", spec.mean, spec.std))
        inputs = make_batches(make, batches, loss, uncached, limit, progress)
        return tuple(each[:count] for each in inputs)


class Decoder(nn.Module):
    """Latents (N, 128) → images (N, C, H, W) between black and white, normalised.

    Args:
        shape: Shape of the images, (1, C, H, W).
        spec: Normalisation of the images.
        width: Channels of the features, a multiple of 8.
    """

    def __init__(self, shape: tuple[int, ...], spec: InputSpec, width: int) -> None:
        super().__init__()
        _, channels, *self._size = shape
        self._quarter = [-(-side // 4) for side in self._size]
        self._spec = spec
        self._width = width
        self.projection = nn.Linear(LATENT, width * self._quarter[0] * self._quarter[1])
        self.coarse = _block(width, width)
        self.fine = _block(width, width // 2)
        self.to_pixels = nn.Conv2d(width // 2, channels, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        """Make one image for each latent."""
        features = self.projection(latents).view(len(latents), self._width, *self._quarter)
        half = [-(-side // 2) for side in self._size]
        features = self.coarse(F.interpolate(features, tuple(half)))
        features = self.fine(F.interpolate(features, tuple(self._size)))
        return normalised(self.to_pixels(features).sigmoid(), self._spec)


class _LatentImages(nn.Module):
    """The inputs of one batch: a decoder for each input that is an image, and the latents.

    Inputs that are no images are noise, and stay as they are.
    """

    def __init__(self, decoders: nn.ModuleDict, latents: Tensor, noise: dict[str, Tensor]) -> None:
        super().__init__()
        self.decoders = decoders
        self.latents = nn.Parameter(latents)
        self._noise = noise

    def forward(self, _: torch.Generator | None) -> list[Tensor]:
        images = {place: decode(self.latents) for place, decode in self.decoders.items()}
        inputs = images | self._noise
        return [inputs[place] for place in sorted(inputs, key=int)]


@dataclass(frozen=True, slots=True)
class _BatchGeneration:
    """Makes one batch after another, a ``BatchMaker``."""

    settings: Generated
    synthesis_loss: SynthesisLoss
    decoders: nn.ModuleDict
    latents: Tensor
    noise: dict[str, Tensor]
    seed: int
    processes: Processes
    limit: TimeLimit

    def __call__(
        self, places: Tensor, number: int, progress: Progress | None
    ) -> tuple[Tensor, ...]:
        device, settings = self.processes.device, self.settings
        noise = {place: each[places].to(device) for place, each in self.noise.items()}
        images = _LatentImages(self.decoders, self.latents[places], noise).to(device)
        training.fit(
            ImageTask(images, self.synthesis_loss, places, self.seed, number * settings.steps),
            schedule(settings.steps, settings.learning_rate, self.limit.left()),
            seed=self.seed,
            progress=progress,
            processes=self.processes,
        )
        return tuple(each.detach() for each in images(None))


def _decoders(spec: InputSpec, width: int, seed: int) -> nn.ModuleDict:
    """A decoder for each input that is an image, by the input's place."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return nn.ModuleDict(
            {str(place): Decoder(shape, spec, width) for place, shape in image_shapes(spec).items()}
        )


def _block(channels_in: int, channels_out: int) -> nn.Sequential:
    """GroupNorm, convolution, GroupNorm, leaky ReLU."""
    return nn.Sequential(
        nn.GroupNorm(GROUPS, channels_in),
        nn.Conv2d(channels_in, channels_out, 3, padding=1),
        nn.GroupNorm(GROUPS // 2, channels_out),
        nn.LeakyReLU(0.2),
    )
