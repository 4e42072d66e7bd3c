"""Reconstruct: fit what is left, layer by layer, to what the original computes.

In the order of execution, each layer of the pruned network is fitted by least squares
(``least_squares.py``) to what the original's layer gives, from what it now really reads: the
errors of all layers before it included, so that each layer also mends what the ones before could
not (asymmetric reconstruction: He et al., arXiv:1707.06168; Luo et al., ThiNet,
arXiv:1707.06342). BatchNorm statistics follow (``bn_statistics.py``). One pass, no gradient, no
label; the weights it starts from, and is pulled towards, are those of ``analytic.py``.

It needs images, and with BatchNorm any will do that are textured enough: procedural ones, on which
the original normalises each batch by its own statistics. The user's own images are taken as they
are.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from edgeprune.artifacts import Halves, Note, RecoveryStep
from edgeprune.images.procedural import DeadLeaves
from edgeprune.recovery.closed_form.analytic import Analytic
from edgeprune.recovery.context import RecoveryContext
from edgeprune.recovery.layerwise.least_squares import can_refit, refit
from edgeprune.recovery.layerwise.teacher_student import PairedForward
from edgeprune.recovery.method import RecoveryMethod

if TYPE_CHECKING:
    from edgeprune.artifacts import InputSpec, Progress, PrunedModel, TracedModel
    from edgeprune.images.source import ImageSource
    from edgeprune.recovery.layerwise.side_by_side import LayerPair

PIXELS = 256 * 64 * 64
"""So many pixels are enough, in 64 to 256 images."""

RIDGE = {True: 1.0, False: 1e-2}
"""Ridge by whether images are synthetic: these count only where they vary more than on average;
real ones are trusted wherever they vary."""


@dataclass(frozen=True, slots=True)
class Reconstruct(RecoveryMethod):
    """Fit every layer behind a cut by least squares, on images.

    Layers that no BatchNorm follows are fitted on real images only: nothing brings what they read
    on synthetic images to the level of real ones.

    Attributes:
        source: Source of the images to fit to.
        images: Number of images; 0: by the size of the input, 256 up to 64x64 pixels, 64 from
            128x128 on. More: better, slower, more memory.
        ridge: Pull towards the analytic solution, as a share of the inputs' mean square; 0: 1 for
            synthetic images, 0.01 for real ones. Larger: safer, and less is mended.
    """

    source: ImageSource = DeadLeaves()  # noqa: RUF009 - frozen
    images: int = 0
    ridge: float = 0.0

    def __call__(
        self,
        traced: TracedModel,
        pruned: PrunedModel,
        context: RecoveryContext = RecoveryContext(),  # noqa: B008 - frozen
    ) -> PrunedModel:
        """Recover a pruned network, as :class:`edgeprune.recovery.method.RecoveryMethod` says.

        Raises:
            UsageError: If the source has no images that the network takes.
        """
        start = time.perf_counter()
        wanted = self.images or enough(pruned.input)
        parts, source = Halves(context.progress), context.opened(self.source)
        inputs = source(traced.source, wanted, context.seed, parts.first)
        synthetic = source.kind.synthetic
        paired = PairedForward(traced, Analytic()(traced, pruned), synthetic=synthetic)
        generator = torch.Generator().manual_seed(context.seed)
        fitted = self._fit(paired, inputs, generator, parts.second(), synthetic=synthetic)
        count = len(inputs[0])
        note = Note("fitted", {"layers": fitted, "images": count, "origin": source.origin})
        seconds = time.perf_counter() - start
        step = RecoveryStep("reconstruct", seconds, count, (note,), quality=source.quality)
        return replace(pruned, module=paired.student, recovered_by=(*pruned.recovered_by, step))

    def _fit(
        self,
        paired: PairedForward,
        inputs: tuple[torch.Tensor, ...],
        generator: torch.Generator,
        progress: Progress | None,
        *,
        synthetic: bool,
    ) -> int:
        """Fit every layer that reads something else than before; the number of layers fitted."""
        ridge = self.ridge or RIDGE[synthetic]
        fitted = 0

        def on_layer(pair: LayerPair) -> None:
            nonlocal fitted
            if not paired.differs(pair):
                return
            layer, normed = paired.student.get_submodule(pair.layer), pair.layer in paired.normed
            if pair.layer in paired.norms:
                paired.transfer(pair)
            elif can_refit(layer) and (normed or not synthetic):
                wanted = paired.staying(pair)
                refit(layer, pair.actual, wanted, ridge=ridge, normed=normed, generator=generator)
                fitted += 1

        paired.run(inputs, on_layer, progress)
        paired.finalize()
        return fitted


def enough(spec: InputSpec) -> int:
    """How many images of the network's size are enough: more of small ones."""
    return spec.images_of(PIXELS, 64, 256)
