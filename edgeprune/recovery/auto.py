"""Try methods from the simplest to the best, and keep the one nearest to the original.

Which candidates there are depends on what the network offers. BatchNorm stores the moments that the
analytic closed form starts from, and brings synthetic images to the level of real ones, so that
whole layers can be fitted and trained; without it there are the closed forms on weights, and the
analytic one from a prior of the input alone. The user's own images serve any network.

Closed forms and the fit layer by layer start from the pruned network, whatever was tried before
them; what trains goes on from the best of them, block by block first, as a whole then. No candidate
wins everywhere. Each is compared with the original on validation images, to which nothing was
fitted (``held_out.py``), and is taken only if it is nearer than all before it.

The ladder is climbed as long as that is worth its time. Without a time limit it has a fixed amount
of work, some minutes on two cores at most: training the whole network waits for a time limit
wherever it is not over within what blocks leave of that. A method that comes for little is the last
one: where blocks lower the error by less than a fiftieth, the whole network will not lower it by
more.

Nothing is trained on procedural images that the network cannot tell from noise (spectra are no
photographs): training follows them to where the error on more such images falls, and accuracy with
it. The fit layer by layer has no room for that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from edgeprune.artifacts import Note, RecoveryStep
from edgeprune.graph.batch_norms import batch_norms
from edgeprune.images.given import Given
from edgeprune.images.procedural import DeadLeaves
from edgeprune.recovery.blockwise import chunks
from edgeprune.recovery.blockwise.blockwise import Blockwise
from edgeprune.recovery.closed_form.analytic import Analytic
from edgeprune.recovery.closed_form.lbyl import Lbyl
from edgeprune.recovery.closed_form.neuron_merging import NeuronMerging
from edgeprune.recovery.context import RecoveryContext
from edgeprune.recovery.held_out import held_out_error
from edgeprune.recovery.layerwise.reconstruct import Reconstruct, enough
from edgeprune.recovery.method import RecoveryMethod
from edgeprune.recovery.training.feature_training import plenty
from edgeprune.recovery.training.supervise import Supervise
from edgeprune.recovery.work import work

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from torch import Tensor

    from edgeprune.artifacts import Progress, PrunedModel, SourceModel, TracedModel
    from edgeprune.images.source import ImageSource
    from edgeprune.recovery.work import Work

PER_VALIDATION_IMAGE = 4
"""Number of images to fit to for each validation image."""

LEAST_VALIDATION = 2
"""Fewest validation images: one alone does not show what varies between images."""

ROUNDING = 1e-6
"""With a smaller error there is nothing to mend."""

SMALL_GAIN = 0.02
"""A method that trains and lowers the error by a smaller share of it is the last one tried."""

EFFORT = {"nm": 1, "lbyl": 1, "analytic": 1, "reconstruct": 4, "blockwise": 20, "supervise": 20}
"""How long candidates take, relative to each other; only progress depends on it."""


@dataclass(frozen=True, slots=True)
class Auto(RecoveryMethod):
    """Keep the method with the smallest error on held-out images, or none.

    Attributes:
        source: Source of the images to fit to and of the validation images.
        images: Number of images to fit to; 0: as each candidate chooses. There are a quarter as
            many validation images as :class:`Reconstruct` takes.
        steps: Number of training steps, of each block and of the whole network; 0: as many as fit
            into the time limit, or, without one, into the work by default.
    """

    source: ImageSource = DeadLeaves()  # noqa: RUF009 - frozen
    images: int = 0
    steps: int = 0

    timed: ClassVar[bool] = True
    keeps_best: ClassVar[bool] = True

    def __call__(
        self,
        traced: TracedModel,
        pruned: PrunedModel,
        context: RecoveryContext = RecoveryContext(),  # noqa: B008 - frozen
    ) -> PrunedModel:
        """Recover with each candidate; the step's first note says which one was kept, and why."""
        start = context.clock()
        source = context.opened(self.source, timed=True)
        allowed = work(traced, pruned, self.steps, context.seconds)
        if context.progress is not None:
            context.progress(0.0, allowed.duration)
        fitting, validation = self._images(traced.source, source, context.seed, allowed)
        error = partial(held_out_error, traced, inputs=validation, synthetic=source.kind.synthetic)
        safe = source.quality is None or source.quality.of_its_kind
        candidates = self._candidates(traced, fitting, allowed, safe=safe)
        best, errors = self._climb(candidates, traced, pruned, error, context, start)
        chosen = min(errors, key=errors.__getitem__)
        if context.progress is not None:
            context.progress(1.0, chosen)
        taken = best.recovered_by[len(pruned.recovered_by) :]
        last = taken[-1] if taken else RecoveryStep("none", 0.0, 0)
        values = {"method": chosen, "images": len(validation[0]), "origin": source.origin}
        step = replace(
            last,
            method=f"auto:{chosen}",
            seconds=context.clock() - start,
            images=len(validation[0]) + last.images,
            notes=(
                Note("chosen", values | {"errors": errors}),
                *(() if safe else (Note("not-of-its-kind"),)),
                *(note for each in taken for note in each.notes),
            ),
            quality=source.quality,
        )
        return replace(best, recovered_by=(*pruned.recovered_by, step))

    def _climb(
        self,
        candidates: dict[str, RecoveryMethod],
        traced: TracedModel,
        pruned: PrunedModel,
        error: Callable[[PrunedModel], float],
        context: RecoveryContext,
        start: float,
    ) -> tuple[PrunedModel, dict[str, float]]:
        """Try candidates in order; the best network, and the error of each, the first smallest."""
        best, smallest = pruned, error(pruned)
        errors = {"none": smallest}
        progress = efforts(candidates, context.progress)
        for name, method in candidates.items():
            if smallest < ROUNDING:
                break
            left = context.seconds - (context.clock() - start)
            if name == "blockwise" and "supervise" in candidates:
                left /= 2
            given = best if method.timed else pruned
            tried = method(traced, given, context.within(left, progress[name]))
            before, errors[name] = smallest, error(tried)
            if errors[name] < smallest:
                best, smallest = tried, errors[name]
            if method.timed and smallest > (1 - SMALL_GAIN) * before:
                break
        return best, errors

    def _images(
        self, original: SourceModel, source: ImageSource, seed: int, allowed: Work
    ) -> tuple[Given, tuple[Tensor, ...]]:
        """Images to fit to, and validation images."""
        few = self.images or enough(original.input)
        spec, many = original.input, plenty if allowed.trains else chunks.plenty
        most = max(self.images or many(source, spec), few)
        count = max(LEAST_VALIDATION, few // PER_VALIDATION_IMAGE)
        inputs = source(original, most + count, seed)
        share = len(inputs[0]) // (PER_VALIDATION_IMAGE + 1)
        count = min(count, max(LEAST_VALIDATION, share))
        fitting = Given(tuple(each[count:] for each in inputs), source.origin, source.kind)
        return fitting, tuple(each[:count] for each in inputs)

    def _candidates(
        self, traced: TracedModel, fitting: Given, allowed: Work, *, safe: bool
    ) -> dict[str, RecoveryMethod]:
        """The methods that the network and the images allow, the simplest first.

        Without ``safe`` images nothing is trained on them.
        """
        candidates: dict[str, RecoveryMethod] = {}
        normed = bool(batch_norms(traced.source.module))
        if not normed:
            candidates |= {"nm": NeuronMerging(), "lbyl": Lbyl()}
        candidates["analytic"] = Analytic()
        if len(fitting.images[0]) and (normed or not fitting.kind.synthetic):
            candidates["reconstruct"] = Reconstruct(fitting, self.images)
            if not safe:
                return candidates
            candidates["blockwise"] = Blockwise(fitting, self.images, self.steps, layerwise=False)
            if allowed.trains:
                candidates["supervise"] = Supervise(fitting, self.images, allowed.steps)
        return candidates


def efforts(candidates: Collection[str], progress: Progress | None) -> dict[str, Progress | None]:
    """Each candidate's progress as progress of the whole."""
    if progress is None:
        return dict.fromkeys(candidates)
    total, done = sum(EFFORT[name] for name in candidates), 0
    parts: dict[str, Progress | None] = {}
    for name in candidates:
        parts[name] = _between(progress, done / total, (done + EFFORT[name]) / total, name)
        done += EFFORT[name]
    return parts


def _between(progress: Progress, start: float, end: float, name: str) -> Progress:
    return lambda share, text: progress(start + (end - start) * share, f"{name}: {text}")
