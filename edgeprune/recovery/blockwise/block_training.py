"""Front to back, the training of every block, within the time that there is.

Each block's training is a run of its own (``training/loop.py``) with a checkpoint of its own: one
that was interrupted goes through the finished blocks at once, and on from where it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isinf
from typing import TYPE_CHECKING

from edgeprune import costs
from edgeprune.artifacts import part_of
from edgeprune.recovery.blockwise.block_task import BlockTask
from edgeprune.recovery.blockwise.paired_blocks import PairedBlocks
from edgeprune.recovery.blockwise.trainable import trainable_layers
from edgeprune.recovery.training.feature_training import weights_digest
from edgeprune.training import Checkpoint, Schedule, fit, join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from edgeprune.artifacts import Progress, PrunedModel, TracedModel
    from edgeprune.recovery.blockwise.blocks import Block
    from edgeprune.recovery.blockwise.chunks import ChunkedImages
    from edgeprune.recovery.context import RecoveryContext

WORK = 3e11
"""Multiply-accumulates of all steps by default: half a minute on two cores."""

STEPS = (50, 400)
"""Fewest and most steps of a block by default, whatever they cost."""

TIMED_STEPS = 2000
"""Most steps of a block under a time limit."""

LEAST_SECONDS = 0.1
"""A block's training has at least so long, however late it is."""

VALIDATIONS = 8
"""Number of validations in the training of a block."""

PASSES = 3
"""A forward and a backward pass cost as much as so many forward ones."""


@dataclass(frozen=True, slots=True)
class TrainedBlocks:
    """What came of it.

    Attributes:
        module: The network; BatchNorm statistics are those that it had.
        blocks: Number of blocks.
        trained: Number of those that were trained.
        steps: Number of steps of all blocks together.
    """

    module: nn.Module
    blocks: int
    trained: int
    steps: int


@dataclass(frozen=True, slots=True)
class BlockTraining:
    """How blocks are trained.

    Attributes:
        convolutions: Dense convolutions that a block has at least.
        steps: Number of updates of each block; 0: what time or :data:`WORK` allows.
        learning_rate: Adam's learning rate, at its peak.
        synthetic: Whether images are procedural or synthesized.
        identity: Text that tells this method on these images from others, for checkpoints.
    """

    convolutions: int
    steps: int
    learning_rate: float
    synthetic: bool
    identity: str

    def run(
        self,
        traced: TracedModel,
        pruned: PrunedModel,
        images: ChunkedImages,
        context: RecoveryContext,
        progress: Progress | None,
    ) -> TrainedBlocks:
        """Train the blocks of a copy of ``pruned``.

        Raises:
            ModelUnsupported: The networks cannot be recorded, or do not run the same steps.
        """
        end, processes = context.clock() + context.seconds, join()
        paired = PairedBlocks(traced, pruned, self.convolutions, processes.device)
        trainable = trainable_layers(paired.student, paired.blocks, synthetic=self.synthetic)
        macs = _macs(pruned, paired.blocks)
        steps = self._steps(sum(macs) * len(images.training[0][0]), context.seconds)
        identity = self._identity(traced, pruned, context)
        held, fitted = len(images.validation), []
        paired.show([*images.validation, *images.training])
        for place, block in enumerate(paired.blocks):
            chunks = paired.lead(block)
            shown = (chunks[held:], chunks[:held])
            task = BlockTask(paired.student, block, shown, trainable, context.seed, processes)
            if task.has_work:
                share = macs[place] / max(1, sum(macs[place:]))
                left = processes.agreed((end - context.clock()) * share)
                done = fit(
                    task,
                    self._schedule(steps, left, context),
                    seed=context.seed,
                    checkpoint=_checkpoint(context, place, identity),
                    progress=part_of(progress, place, len(paired.blocks)),
                    processes=processes,
                )
                fitted.append(done.steps)
            paired.follow(block)
            if progress is not None:
                progress((place + 1) / len(paired.blocks), f"block {place + 1}")
        return TrainedBlocks(paired.finish(), len(paired.blocks), len(fitted), sum(fitted))

    def _steps(self, macs: int, seconds: float) -> int:
        """The number of steps of a block; ``macs`` of one forward of all blocks on a chunk."""
        if self.steps or not isinf(seconds):
            return self.steps or TIMED_STEPS
        return default_steps(macs)

    def _schedule(self, steps: int, seconds: float, context: RecoveryContext) -> Schedule:
        return Schedule(
            steps,
            self.learning_rate,
            warmup=0.05,
            clip=1.0,
            averaging=0.9,
            validate_every=max(5, min(steps, STEPS[1]) // VALIDATIONS),
            seconds=max(seconds, LEAST_SECONDS),
            clock=context.clock,
        )

    def _identity(self, traced: TracedModel, pruned: PrunedModel, context: RecoveryContext) -> str:
        weights = f"{traced.source.sha256} {pruned.plan} {weights_digest(pruned.module)}"
        return f"{self!r} {context.seed} {weights}"


def default_steps(macs: int) -> int:
    """The number of steps of each block by default.

    Args:
        macs: Multiply-accumulates of all blocks on one chunk of images.
    """
    return min(STEPS[1], max(STEPS[0], int(WORK / max(1, PASSES * macs))))


def _macs(pruned: PrunedModel, blocks: Sequence[Block]) -> list[int]:
    """Multiply-accumulates of each block on one image."""
    by_layer = {layer.name: layer.macs for layer in costs.count(pruned.module, pruned.input).layers}
    return [sum(by_layer.get(layer, 0) for layer in block.layers) for block in blocks]


def _checkpoint(context: RecoveryContext, place: int, identity: str) -> Checkpoint | None:
    """The state from which the training of a block resumes, if it was cut short."""
    if context.workspace is None:
        return None
    context.workspace.mkdir(parents=True, exist_ok=True)
    return Checkpoint(context.workspace / f"block-{place}.pt", f"{identity} {place}")
