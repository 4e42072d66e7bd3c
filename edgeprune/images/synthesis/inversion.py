"""Images that a network imagines: pixels optimised until its BatchNorms read what they have stored.

In the spirit of DeepInversion (Yin et al., "Dreaming to Distill", arXiv:1912.08795). What is other:
the start is no noise but images drawn by rule, which have edges and colours already, so that few
steps do; the statistics are normalised and those of the whole set, not of a batch or a GPU
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
    TimeLimit,
    batch_size,
    in_batches,
    make_batches,
)
from edgeprune.images.synthesis.objective import Judge, Objective, is_image
from edgeprune.images.synthesis.optimisation import ImageTask, require_images, schedule
from edgeprune.images.synthesis.pixel_parameters import PixelParameters, resized, scaled
from edgeprune.images.time_limit import within_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from edgeprune.artifacts import InputSpec, Progress, SourceModel
    from edgeprune.images.source import ImageSource
    from edgeprune.training import Processes

COARSE = 2 / 3
"""Share of the steps at half the size, where there are any: they take a quarter of the time."""

DRAWING = 1 / 4
"""Of the time, what the drawing of starts may take."""


@dataclass(frozen=True, slots=True)
class Inversion:
    """Images with the statistics that the original has stored.

    Attributes:
        steps: Updates of each image (more: nearer to the statistics, slower).
        learning_rate: Of Adam: what a pixel changes by in a step, as a share of black to white.
        batch: Images at a time and process; 0: by their size, 128 up to 64x64 pixels, 16 from
            181x181 on (more: more variety in each step's statistics, more memory).
        objective: What images should be like, next to the statistics.
        start: What they are made of; its images are used up to the number it has.
        coarse: Images with at least so many pixels a side are first imagined at half the size,
            where the network takes that; 0: none are.
        smooth: Whether the network sees a blurred part of a larger canvas (fewer artefacts, less
            detail).
        clamp: Whether pixels stay between black and white; not for inputs that are no pixels.
        seconds: What it may take: fewer images are made, but one batch at least, and two runs no
            longer give the same; inf: what it takes.
        workspace: A folder that all processes see, for finished batches and for the one under way,
            so that a run that was killed goes on where it was; None: nothing is kept.
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
        """Imagine images as :class:`~edgeprune.images.source.ImageSource` says.

        Raises:
            ModelUnsupported: If the network has stored no statistics.
            UsageError: If it takes no images.
        """
        require_images(original)
        processes = training.join()
        time = TimeLimit(self.seconds, processes)
        judge = Judge(original, self.objective, processes)
        size = self.batch or batch_size(original.input.shapes)
        wanted = sum(map(len, in_batches(count, size, processes)))
        starts = within_time(self.start, original, wanted, seed, DRAWING * time.left())
        count = min(count, len(starts[0]))
        batches = in_batches(count, size, processes)
        # Images that only fill a batch up, so that processes share it evenly, start like others.
        rows = torch.arange(sum(map(len, batches))) % len(starts[0])
        starts = tuple(each[rows] for each in starts)
        kept = self._cache(original, starts, seed, processes)
        make = _BatchInversion(self, original.input, judge, starts, seed, processes, kept, time)
        inputs = make_batches(make, batches, judge, kept, time, progress)
        return tuple(each[:count] for each in inputs)

    def _cache(
        self, original: SourceModel, starts: Sequence[Tensor], seed: int, processes: Processes
    ) -> BatchCache:
        """A place in the workspace that no other set shares."""
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
        held = [*original.module.state_dict().values(), *weights, *starts]
        name = _digest(repr((about, processes.count)), held)
        (self.workspace / name).mkdir(parents=True, exist_ok=True)
        return BatchCache(self.workspace / name, about)


@dataclass(frozen=True, slots=True)
class _BatchInversion:
    """Makes one batch after another, as :class:`~edgeprune.images.synthesis.batch_cache.Maker` says."""

    how: Inversion
    spec: InputSpec
    judge: Judge
    starts: tuple[Tensor, ...]
    seed: int
    processes: Processes
    kept: BatchCache
    time: TimeLimit

    def __call__(
        self, places: Tensor, number: int, progress: Progress | None
    ) -> tuple[Tensor, ...]:
        how, inputs = self.how, tuple(each[places] for each in self.starts)
        inputs = tuple(each.to(self.processes.device) for each in inputs)
        stages, done = self._stages(inputs), number * how.steps
        for stage, (scale, steps) in enumerate(stages):
            canvas = PixelParameters(
                inputs, self.spec, scale=scale, smooth=how.smooth, clamp=how.clamp
            )
            training.fit(
                ImageTask(canvas, self.judge, places, self.seed, done),
                schedule(steps, how.learning_rate, self.time.left() / (len(stages) - stage)),
                seed=self.seed,
                checkpoint=self.kept.checkpoint(number, stage),
                progress=part_of(progress, stage, len(stages)),
                processes=self.processes,
            )
            inputs = tuple(each.detach() for each in canvas.whole())
            done += steps
        return tuple(each.detach() for each in canvas(None))

    def _stages(self, inputs: Sequence[Tensor]) -> list[tuple[float, int]]:
        """Scales, and the steps at each."""
        steps, least = self.how.steps, self.how.coarse
        side = min(min(each.shape[2:]) for each in filter(is_image, inputs))
        halves = [resized(each[:2], scaled(each.shape, 0.5)) for each in inputs]
        if not 0 < least <= side or steps < 2 or not self.judge.takes(halves):
            return [(1.0, steps)]
        first = int(steps * COARSE)
        return [(0.5, first), (1.0, steps - first)]


def _digest(text: str, tensors: Iterable[Tensor]) -> str:
    """What tells one set of images from another."""
    found = hashlib.sha256(text.encode())
    for each in tensors:
        found.update(each.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]
