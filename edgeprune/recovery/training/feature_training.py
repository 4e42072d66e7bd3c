"""Training on features: how long a pruned network learns from the original, and on which images.

Everything is chosen by rule, from the size of the input and the cost of a step; under a time limit
the learning rate falls as time passes. The loss on validation images is measured on the way, and
the best weights stay.
"""

from __future__ import annotations

import copy
import hashlib
import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from edgeprune import costs
from edgeprune.artifacts import Halves, ImageKind, Note, RecoveryStep
from edgeprune.errors import UsageError
from edgeprune.graph.batch_norms import batch_norms, shared_norms
from edgeprune.images.procedural import DeadLeaves
from edgeprune.recovery.block_ends import block_ends
from edgeprune.recovery.context import RecoveryContext
from edgeprune.recovery.layerwise.reconstruct import enough
from edgeprune.recovery.layerwise.teacher_student import recalibrated
from edgeprune.recovery.method import RecoveryMethod
from edgeprune.recovery.training.task import ComparedLayers, DistillationTask, ImagePool
from edgeprune.training import Checkpoint, Schedule, fit, join

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from edgeprune.artifacts import InputSpec, PrunedModel, SourceModel, TracedModel
    from edgeprune.images.source import ImageSource
    from edgeprune.recovery.block_ends import BlockEnd
    from edgeprune.recovery.training.task import NetworkOutputs
    from edgeprune.training import Fitted, Processes

WORK = 2.5e12
"""Multiply-accumulates that training takes by default: some minutes on two cores."""

STEPS = (100, 1000)
"""Fewest and most steps by default, whatever they cost."""

TIMED_STEPS = 20_000
"""Most steps under a time limit."""

PIXELS = 4096 * 32 * 32
"""So many pixels are enough, in 512 to 4096 images."""

FEW = 2
"""Synthesized images take long: so many times what is enough to fit to."""

BATCH_PIXELS = 64 * 32 * 32
"""So many pixels a step, in 16 to 64 images."""

VALIDATIONS = 20
"""Number of validations in a run of the most steps by default."""

BACKWARD = 2
"""A backward pass costs as much as so many forward ones."""


@dataclass(frozen=True, slots=True)
class DistillationMethod(RecoveryMethod):
    """What all methods that train have in common.

    Attributes:
        source: Source of the images to train on.
        images: Number of images; 0: by the size of the input, 4096 of 32x32 pixels, 512 from 91x91
            on, but 512 to 128 where they are synthesized. More: more variety, more memory.
        steps: Number of updates; 0: what 2.5e12 multiply-accumulates allow, some minutes on two
            cores, but 100 to 1000. More: better, slower.
        batch: Images a step and process; 0: by the size of the input, 64 up to 32x32 pixels, 16
            from 64x64 on.
        learning_rate: Adam's learning rate, at its peak.
        name: Name of the step.
    """

    source: ImageSource = DeadLeaves()  # noqa: RUF009 - frozen
    images: int = 0
    steps: int = 0
    batch: int = 0
    learning_rate: float = 3e-3
    name: ClassVar[str]
    timed: ClassVar[bool] = True

    @abstractmethod
    def loss(self, wanted: NetworkOutputs, given: NetworkOutputs) -> Tensor:
        """How far what the pruned network gives is from what is wanted, ()."""

    def __call__(
        self,
        traced: TracedModel,
        pruned: PrunedModel,
        context: RecoveryContext = RecoveryContext(),  # noqa: B008 - frozen
    ) -> PrunedModel:
        """Recover a pruned network, as :class:`edgeprune.recovery.method.RecoveryMethod` says.

        A network of which no layer can be compared is left as it is.

        Raises:
            UsageError: If images are synthetic and no BatchNorm brings them to the level of real
                ones.
        """
        start = context.clock()
        source = context.opened(self.source, timed=True)
        if source.kind.synthetic and not batch_norms(traced.source.module):
            raise UsageError(
                f"cannot {self.name} on images {source.origin}: without BatchNorm they "
                "are not at the level of real ones; pass --images"
            )
        ends = block_ends(traced, pruned, normed=source.kind.synthetic)
        if not ends:
            left_alone = RecoveryStep(self.name, 0.0, 0, (Note("nothing-to-compare"),))
            return replace(pruned, recovered_by=(*pruned.recovered_by, left_alone))
        parts = Halves(context.progress)
        processes = join()
        pool = self._pool(traced.source, source, context.seed, parts, processes)
        task = self._task(traced, pruned, ends, pool, processes)
        left = processes.agreed(context.seconds - (context.clock() - start))
        fitted = fit(
            task,
            self._schedule(traced, pruned, left, context.clock),
            seed=context.seed,
            checkpoint=self._checkpoint(traced, pruned, source, context),
            progress=parts.second(),
            processes=processes,
        )
        trained = replace(pruned, module=task.finish())
        some = enough(traced.source.input)
        module = recalibrated(traced, trained, [each[:some] for each in pool.inputs])
        count = len(pool.inputs[0])
        notes, seconds = self._notes(fitted, count, source), context.clock() - start
        step = RecoveryStep(self.name, seconds, count, notes, fitted.errors, source.quality)
        return replace(pruned, module=module, recovered_by=(*pruned.recovered_by, step))

    def _pool(
        self,
        original: SourceModel,
        source: ImageSource,
        seed: int,
        parts: Halves,
        processes: Processes,
    ) -> ImagePool:
        """Images to train on, and one batch of validation images."""
        batch = self._batch(original.input)
        count = batch * processes.count
        wanted = (self.images or plenty(source, original.input)) + count
        inputs = source(original, wanted, seed, parts.first)
        count = min(count, len(inputs[0]) // 5)
        if count < 2 * processes.count:  # too few to spare any
            return ImagePool(inputs, inputs, batch, seed)
        training, validation = (
            [each[at] for each in inputs] for at in (slice(count, None), slice(count))
        )
        return ImagePool(training, validation, batch, seed)

    def _task(
        self,
        traced: TracedModel,
        pruned: PrunedModel,
        ends: tuple[BlockEnd, ...],
        pool: ImagePool,
        processes: Processes,
    ) -> DistillationTask:
        original = traced.source.module
        return DistillationTask(
            original,
            copy.deepcopy(pruned.module),
            ComparedLayers(sorted(shared_norms(traced.record, original, pruned.module)), ends),
            self.loss,
            pool,
            processes,
        )

    def _schedule(
        self,
        traced: TracedModel,
        pruned: PrunedModel,
        seconds: float,
        clock: Callable[[], float],
    ) -> Schedule:
        steps = self.steps or TIMED_STEPS
        if not self.steps and math.isinf(seconds):
            spec = traced.source.input
            original = costs.count(traced.source.module, spec, traced.record)
            left = costs.count(pruned.module, spec)
            step = original.macs + (1 + BACKWARD) * left.macs
            steps = int(min(max(WORK / (step * self._batch(spec)), STEPS[0]), STEPS[1]))
        return Schedule(
            steps,
            self.learning_rate,
            warmup=0.02,
            clip=1.0,
            averaging=0.98,
            validate_every=max(10, min(steps, STEPS[1]) // VALIDATIONS),
            seconds=max(seconds, 1.0),
            clock=clock,
        )

    def _batch(self, spec: InputSpec) -> int:
        return self.batch or spec.images_of(BATCH_PIXELS, 16, 64)

    def _checkpoint(
        self,
        traced: TracedModel,
        pruned: PrunedModel,
        source: ImageSource,
        context: RecoveryContext,
    ) -> Checkpoint | None:
        """The state from which this very training resumes, if it was cut short."""
        if context.workspace is None:
            return None
        context.workspace.mkdir(parents=True, exist_ok=True)
        weights = f"{traced.source.sha256} {pruned.plan} {weights_digest(pruned.module)}"
        identity = f"{self!r} {source!r} {context.seed} {weights}"
        return Checkpoint(context.workspace / f"{self.name}.pt", identity)

    def _notes(self, fitted: Fitted, images: int, source: ImageSource) -> tuple[Note, ...]:
        values = {
            "steps": fitted.steps,
            "images": images,
            "origin": source.origin,
            "loss_before": fitted.errors[0][1],
            "loss_after": min(error for _, error in fitted.errors),
            "best_step": fitted.best_step,
        }
        ended = (Note("text", {"text": fitted.detail}),) if fitted.detail else ()
        return (Note("trained", values), *ended)


def plenty(source: ImageSource, spec: InputSpec) -> int:
    """How many images to train on: more of small ones, fewer of those that take long to make."""
    if source.kind is ImageKind.SYNTHESIZED:
        return FEW * enough(spec)
    return spec.images_of(PIXELS, 512, 4096)


def weights_digest(module: nn.Module) -> str:
    """Digest of the weights that a run starts from: another start is another run."""
    whole = hashlib.sha256()
    for name, value in module.state_dict().items():
        whole.update(name.encode())
        whole.update(value.double().cpu().numpy().tobytes())  # float64 holds them all
    return whole.hexdigest()
