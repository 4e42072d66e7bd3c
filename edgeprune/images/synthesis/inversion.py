"""Model inversion: pixels optimised until a network's BatchNorms read what they have stored.

In the spirit of DeepInversion (Yin et al., "Dreaming to Distill", arXiv:1912.08795), with three
differences: the start is no noise but procedural images, which have edges and colours already, so
that few steps do; the statistics are normalised and those of the whole set, not of a batch or a GPU
(``statistics_loss.py``); labels are used where there are classes, and missed nowhere else.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from edgeprune import training
from edgeprune.artifacts import ImageKind, part_of
from edgeprune.images.image_sets import ImageSet
from edgeprune.images.procedural import DeadLeaves
from edgeprune.images.synthesis.batch_cache import (
    BatchCache,
    batch_size,
    in_batches,
    make_batches,
)
from edgeprune.images.synthesis.objective import Objective, SynthesisLoss, is_image
from edgeprune.images.synthesis.optimisation import (
    ImageTask,
    image_shapes,
    require_images,
    schedule,
)
from edgeprune.images.synthesis.pixel_parameters import PixelParameters, resized, scaled
from edgeprune.images.time_limit import TimeLimit, within_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from edgeprune.artifacts import InputSpec, Progress, SourceModel
    from edgeprune.images.source import ImageSource
    from edgeprune.training import Processes

COARSE_SHARE = 2 / 3
"""Share of the steps at half the size, where there are any: they take a quarter of the time."""

START_SHARE = 1 / 4
"""Share of the time for the images to start from."""


@dataclass(frozen=True, slots=True)
class Inversion:
    """Images with the statistics that the original has stored.

    Attributes:
        steps: Updates of each image (more: nearer to the statistics, slower).
        learning_rate: Adam's step size, in units of black to white per step.
        batch: Images in a batch of one process; 0: by their size, 128 up to 64x64 pixels, 16 from
            181x181 on (more: more variety in each step's statistics, more memory).
        objective: Weights of the terms next to the statistics.
        start: Source of the images to start from; no more are made than it has.
        coarse: Least side, in pixels, of images that are first synthesized at half the size, where
            the network takes that; 0: none are.
        smooth: Whether the network sees a blurred crop of larger images (fewer artefacts, less
            detail).
        clamp: Whether pixels stay between black and white; not for inputs that are no pixels.
        seconds: Time limit: fewer images are made, but one batch at least, and results are no
            longer reproducible; inf: no limit.
        workspace: Folder that all processes see, for finished batches and checkpoints of the one
            under way, so that a run that was killed resumes; None: nothing is saved.
    """

    steps: int = 100
    learning_rate: float = 0.0125
    batch: int = 0
    objective: Objective = Objective()  # noqa: RUF009 - frozen
    start: ImageSource = DeadLeaves()  # noqa: RUF009 - frozen
    coarse: int = 128
    smooth: bool = False
    clamp: bool = True
    seconds: float = field(default=math.inf, compare=False, repr=False)
    workspace: Path | None = field(default=None, compare=False, repr=False)

    kind: ClassVar[ImageKind] = ImageKind.SYNTHESIZED

    @property
    def origin(self) -> str:
        """Where the images are from, to follow "256 images"."""
        return f"(synthesized by model inversion, {self.steps} steps)"

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
        wanted = sum(map(len, in_batches(count, size, processes)))
        starts = within_time(self.start, original, wanted, seed, START_SHARE * limit.left())
        count = min(count, len(starts[0]))
        batches = in_batches(count, size, processes)
        # Images that only fill up a batch, so that processes share it evenly, start like others.
        rows = torch.arange(sum(map(len, batches))) % len(starts[0])
        starts = tuple(each[rows] for each in starts)
        cache = self._cache(original, starts, seed, processes)
        make = _BatchInversion(self, original.input, loss, starts, seed, processes, cache, limit)
        inputs = make_batches(make, batches, loss, cache, limit, progress)
        return tuple(each[:count] for each in inputs)

    def _cache(
        self, original: SourceModel, starts: Sequence[Tensor], seed: int, processes: Processes
    ) -> BatchCache:
        """A folder of the workspace that no other set shares."""
        about = ImageSet(
            origin=self.origin,
            kind=self.kind,
            seed=seed,
            model_sha256=original.sha256,
            mean=original.input.mean,
            std=original.input.std,
            # A source of images may show no more of itself than where it lies in memory.
            settings={
                "inversion": repr(replace(self, start=DeadLeaves())),
                "start": self.start.origin,
            },
        )
        if self.workspace is None:
            return BatchCache(None, about)
        competitor = self.objective.competitor
        weights = competitor.state_dict().values() if competitor is not None else ()
        tensors = [*original.module.state_dict().values(), *weights, *starts]
        name = _digest(repr((about, processes.count)), tensors)
        (self.workspace / name).mkdir(parents=True, exist_ok=True)
        return BatchCache(self.workspace / name, about)


@dataclass(frozen=True, slots=True)
class _BatchInversion:
    """Makes one batch after another, a ``BatchMaker``."""

    settings: Inversion
    spec: InputSpec
    synthesis_loss: SynthesisLoss
    starts: tuple[Tensor, ...]
    seed: int
    processes: Processes
    cache: BatchCache
    limit: TimeLimit

    def __call__(
        self, places: Tensor, number: int, progress: Progress | None
    ) -> tuple[Tensor, ...]:
        settings, inputs = self.settings, tuple(each[places] for each in self.starts)
        inputs = tuple(each.to(self.processes.device) for each in inputs)
        stages, done = self._stages(inputs), number * settings.steps
        for stage, (scale, steps) in enumerate(stages):
            parameters = PixelParameters(
                inputs, self.spec, scale=scale, smooth=settings.smooth, clamp=settings.clamp
            )
            seconds = self.limit.left() / (len(stages) - stage)
            training.fit(
                ImageTask(parameters, self.synthesis_loss, places, self.seed, done),
                schedule(steps, settings.learning_rate, seconds),
                seed=self.seed,
                checkpoint=self.cache.checkpoint(number, stage),
                progress=part_of(progress, stage, len(stages)),
                processes=self.processes,
            )
            inputs = tuple(each.detach() for each in parameters.uncropped())
            done += steps
        return tuple(each.detach() for each in parameters(None))

    def _stages(self, inputs: Sequence[Tensor]) -> list[tuple[float, int]]:
        """Scale of each stage, as a share of the sides, and its number of steps."""
        steps, least = self.settings.steps, self.settings.coarse
        side = min(min(each.shape[2:]) for each in filter(is_image, inputs))
        halves = [resized(each[:2], scaled(each.shape, 0.5)) for each in inputs]
        if not 0 < least <= side or steps < 2 or not self.synthesis_loss.accepts(halves):
            return [(1.0, steps)]
        first = int(steps * COARSE_SHARE)
        return [(0.5, first), (1.0, steps - first)]


def _digest(text: str, tensors: Iterable[Tensor]) -> str:
    """A name for a set of images, by what it is made from: 16 hexadecimal digits."""
    digest = hashlib.sha256(text.encode())
    for each in tensors:
        digest.update(each.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
