"""Blockwise: each block of the pruned network learns to give what the original's block gives.

Layer by layer (``layerwise/``) a layer can only be fitted to what the original has in that very
place, though the block as a whole could do better: of a channel that is missing between two
pointwise convolutions the depthwise one in between knows nothing, and cannot make up for it. Here
the unit is the block (``blocks.py``). Front to back, each is trained by gradient from the
least-squares fit: it reads what the pruned network really has there, with all that went wrong
before, and is to give what the original's block gives, behind the residual sum. In the spirit of
BRECQ (Li et al., arXiv:2102.05426) and PRACTISE (Wang and Wu, arXiv:2202.07861), without their
data: where images are not real, both networks normalise each batch by its own statistics
(``layerwise/bn_statistics.py`` says why), and what stands behind the last BatchNorm of a block
stays as it is.

A step costs what a block costs, and features are computed once: hundreds of steps of every block
take as long as tens of the whole network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from edgeprune.artifacts import Halves, Note, RecoveryStep
from edgeprune.errors import ModelUnsupported, UsageError
from edgeprune.graph.batch_norms import batch_norms
from edgeprune.images.given import Given
from edgeprune.images.procedural import DeadLeaves
from edgeprune.recovery.blockwise.block_training import BlockTraining
from edgeprune.recovery.blockwise.chunks import chunked, plenty
from edgeprune.recovery.context import RecoveryContext
from edgeprune.recovery.held_out import held_out_error
from edgeprune.recovery.layerwise.reconstruct import Reconstruct, enough
from edgeprune.recovery.layerwise.teacher_student import recalibrated
from edgeprune.recovery.method import RecoveryMethod

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprune.artifacts import PrunedModel, TracedModel
    from edgeprune.images.source import ImageSource


@dataclass(frozen=True, slots=True)
class Blockwise(RecoveryMethod):
    """Train block by block.

    Attributes:
        source: Source of the images to train on.
        images: Number of images to train on; 0: by the size of the input, 1024 of 32x32 pixels, 96
            from 105x105 on. More: more variety, more memory.
        steps: Number of updates of each block; 0: what 3e11 multiply-accumulates allow in all, but
            50 to 400. More: better, slower.
        convolutions: Dense convolutions that a block has at least. More: larger blocks.
        learning_rate: Adam's learning rate, at its peak.
        layerwise: Whether to start from a fit layer by layer, where that is nearer to the original
            on validation images than the network given.
    """

    source: ImageSource = DeadLeaves()  # noqa: RUF009 - frozen
    images: int = 0
    steps: int = 0
    convolutions: int = 4
    learning_rate: float = 3e-3
    layerwise: bool = True

    timed: ClassVar[bool] = True
    keeps_best: ClassVar[bool] = True

    def __call__(
        self,
        traced: TracedModel,
        pruned: PrunedModel,
        context: RecoveryContext = RecoveryContext(),  # noqa: B008 - frozen
    ) -> PrunedModel:
        """Recover a pruned network, as :class:`edgeprune.recovery.method.RecoveryMethod` says.

        A network that cannot be recorded is left to the fit layer by layer. What is trained is kept
        only if it is nearer to the original on the validation images.

        Raises:
            UsageError: If images are synthetic and no BatchNorm brings them to the level of real
                ones.
        """
        start = context.clock()
        source, spec = context.opened(self.source, timed=True), traced.source.input
        if source.kind.synthetic and not batch_norms(traced.source.module):
            raise UsageError(
                f"cannot train blocks on images {source.origin}: without BatchNorm they are not at "
                "the level of real ones; pass --images"
            )
        parts, synthetic = Halves(context.progress), source.kind.synthetic
        inputs = source(
            traced.source, self.images or plenty(source, spec), context.seed, parts.first
        )
        images = chunked(inputs, spec)
        error = partial(held_out_error, traced, inputs=images.held_out(), synthetic=synthetic)
        fitting = Given(images.fitting(enough(spec)), source.origin, source.kind)
        best, before = self._start(traced, pruned, fitting, error, context)
        left = replace(context, seconds=max(0.0, context.seconds - (context.clock() - start)))
        try:
            trained = self._training(source).run(traced, best, images, left, parts.second())
        except ModelUnsupported as refused:
            notes, module = (Note("text", {"text": f"no block trained: {refused}"}),), best.module
        else:
            found = replace(best, module=trained.module)
            found = replace(best, module=recalibrated(traced, found, fitting.images))
            after = error(found)
            module = found.module if after < before else best.module
            notes = (Note("blocks-trained", {
                "blocks": trained.blocks, "trained": trained.trained, "steps": trained.steps,
                "images": len(inputs[0]), "origin": source.origin,
                "error_before": before, "error_after": after,
            }),)  # fmt: skip
        seconds, count = context.clock() - start, len(inputs[0])
        step = RecoveryStep("blockwise", seconds, count, notes, quality=source.quality)
        return replace(pruned, module=module, recovered_by=(*pruned.recovered_by, step))

    def _start(
        self,
        traced: TracedModel,
        pruned: PrunedModel,
        fitting: Given,
        error: Callable[[PrunedModel], float],
        context: RecoveryContext,
    ) -> tuple[PrunedModel, float]:
        """The network to start from, and its error."""
        starts = [pruned]
        if self.layerwise:
            method = Reconstruct(fitting, len(fitting.images[0]))
            starts.append(method(traced, pruned, context.within(context.seconds, None)))
        errors = [error(each) for each in starts]
        return starts[errors.index(min(errors))], min(errors)

    def _training(self, source: ImageSource) -> BlockTraining:
        return BlockTraining(
            self.convolutions,
            self.steps,
            self.learning_rate,
            synthetic=source.kind.synthetic,
            identity=repr(source),
        )
