"""Climb from the simplest method to the best, and stay on the rung that is nearest to the original.

Which rungs there are depends on what the network offers. BatchNorm holds the moments that the
analytic closed form starts from, and brings drawn images to the level of real ones, so that whole
layers can be fitted; without it there are the closed forms on weights, and the analytic one from a
prior of the input alone. The user's own images, where there are some, serve any network.

No rung wins everywhere. Each is judged on images that nothing was fitted to (``held_out.py``), and
one that is not nearer to the original than those below it is not taken.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgeprune.artifacts import RecoveryStep, part_of
from edgeprune.calibration.procedural import DeadLeaves
from edgeprune.calibration.sources import Given
from edgeprune.followers import batch_norms
from edgeprune.recovery.analytic import Analytic
from edgeprune.recovery.held_out import held_out_error
from edgeprune.recovery.lbyl import Lbyl
from edgeprune.recovery.neuron_merging import NeuronMerging
from edgeprune.recovery.reconstruct import Reconstruct, enough

if TYPE_CHECKING:
    from torch import Tensor

    from edgeprune.artifacts import Progress, PrunedModel, SourceModel, TracedModel
    from edgeprune.calibration.sources import ImageSource
    from edgeprune.recovery import RecoveryMethod

HELD_OUT = 4
"""For so many images to fit to, one other judges."""

LEAST_JUDGES = 2
"""What varies between outputs shows from two images on."""


@dataclass(frozen=True, slots=True)
class Auto:
    """Keep the method with the smallest error on held-out images, or none.

    Attributes:
        source: Where images come from, to fit to and to judge by.
        images: How many to fit to; 0: as :class:`Reconstruct` chooses. A quarter as many others
            judge.
        seed: Of all that draws; None: the run's, or 0.
    """

    source: ImageSource = DeadLeaves()  # noqa: RUF009 - frozen
    images: int = 0
    seed: int | None = None

    def __call__(
        self, traced: TracedModel, pruned: PrunedModel, progress: Progress | None = None
    ) -> PrunedModel:
        """As :class:`edgeprune.recovery.RecoveryMethod` says; the step tells what won, and why."""
        start = time.perf_counter()
        fitting, judging = self._images(traced.source, progress)
        drawn = self.source.drawn
        best, chosen = pruned, "none"
        errors = {chosen: held_out_error(traced, pruned, judging, drawn=drawn)}
        rungs = self._rungs(traced, fitting)
        for place, (name, method) in enumerate(rungs.items()):
            tried = method(traced, pruned, part_of(progress, place, len(rungs)))
            errors[name] = held_out_error(traced, tried, judging, drawn=drawn)
            if errors[name] < errors[chosen]:
                best, chosen = tried, name
        shown = ", ".join(f"{name} {error:.3f}" for name, error in errors.items())
        judges = len(judging[0])
        detail = f"chose {chosen}; error on {judges} other images {self.source.origin}: {shown}"
        images = judges + (best.recovered_by[-1].images if chosen != "none" else 0)
        step = RecoveryStep(f"auto:{chosen}", time.perf_counter() - start, images, detail)
        return replace(best, recovered_by=(*pruned.recovered_by, step))

    def _images(
        self, original: SourceModel, progress: Progress | None
    ) -> tuple[Given, tuple[Tensor, ...]]:
        """Images to fit to, and others to judge by."""
        wanted = self.images or enough(original.input)
        others = max(LEAST_JUDGES, wanted // HELD_OUT)
        inputs = self.source(original, wanted + others, self.seed or 0, progress)
        judges = max(LEAST_JUDGES, len(inputs[0]) // (HELD_OUT + 1))
        fitting = Given(tuple(each[judges:] for each in inputs), self.source.origin)
        return replace(fitting, drawn=self.source.drawn), tuple(each[:judges] for each in inputs)

    def _rungs(self, traced: TracedModel, fitting: Given) -> dict[str, RecoveryMethod]:
        """What the network and the images allow, the simplest first."""
        rungs: dict[str, RecoveryMethod] = {}
        normed = bool(batch_norms(traced.source.module))
        if not normed:
            rungs |= {"nm": NeuronMerging(), "lbyl": Lbyl()}
        rungs["analytic"] = Analytic()
        images = len(fitting.images[0])
        if images and (normed or not fitting.drawn):
            rungs["reconstruct"] = Reconstruct(source=fitting, images=images, seed=self.seed)
        return rungs
