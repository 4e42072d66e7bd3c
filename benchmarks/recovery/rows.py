"""The rows of the recovery table: a name and what makes the method, one line each.

Rows that train start from the result of ``reconstruct``, the same for all of them, and their
seconds include it. ``finetune`` is the upper bound: it sees labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from fine_tuning import FineTuning
from subjects import ORACLE_IMAGES, Subject

from edgeprune.errors import UsageError
from edgeprune.images.given import Given
from edgeprune.images.synthesis.inversion import Inversion
from edgeprune.recovery import METHODS, NoRecovery
from edgeprune.recovery.closed_form.lbyl import Lbyl
from edgeprune.recovery.closed_form.neuron_merging import NeuronMerging
from edgeprune.recovery.context import RecoveryContext
from edgeprune.recovery.layerwise.reconstruct import Reconstruct
from edgeprune.recovery.method import RecoveryMethod
from edgeprune.recovery.training.supervise import Supervise

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edgeprune.artifacts import PrunedModel, TracedModel


@dataclass(frozen=True)
class Limits:
    """How long rows that train may take, and on how many images.

    Attributes:
        steps: Number of training steps; 0: as the method chooses.
        seconds: Time limit of the training, without that of ``reconstruct`` before; inf: none.
        images: Number of procedural or synthesized images; 0: as the method chooses.
        workspace: Folder for synthesized images and checkpoints; None: nothing is saved.
    """

    steps: int = 0
    seconds: float = math.inf
    images: int = 0
    workspace: Path | None = None

    def of(self, method: Any) -> Any:
        """A method that trains, with these numbers of steps and of images of its own."""
        method = replace(method, steps=self.steps)
        source = method.source
        return replace(method, images=self.images) if source and source.kind.synthetic else method

    def as_texts(self) -> list[str]:
        """The limits as they stand in a file of results."""
        return [str(each) for each in (self.steps, self.seconds, self.images)]


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        make: Makes the method for a network.
        random: Whether the method's result depends on the seed; it then runs once for each seed.
        trains: Whether the method trains, from the result of ``reconstruct``, which takes minutes.
        needs: Row of ``METHODS`` without which there is no such method yet.
    """

    make: Callable[[Subject], RecoveryMethod]
    random: bool = False
    trains: bool = False
    needs: str = "none"

    def method(self, subject: Subject, limits: Limits) -> RecoveryMethod:
        """The method to run."""
        method = self.make(subject)
        return Reconstructed(limits.of(method)) if self.trains else method

    def context(self, seed: int, limits: Limits) -> RecoveryContext:
        """What the method is handed; the quality of its images is of no interest here."""
        plain = RecoveryContext(seed=seed, score_images=False)
        if not self.trains:
            return plain
        return replace(plain, seconds=limits.seconds, workspace=limits.workspace)


@dataclass(frozen=True)
class Reconstructed(RecoveryMethod):
    """A method that starts from the result of ``reconstruct``; its time begins after that."""

    method: RecoveryMethod

    def __call__(
        self, traced: TracedModel, pruned: PrunedModel, context: RecoveryContext
    ) -> PrunedModel:
        start = Reconstruct()(traced, pruned, RecoveryContext(score_images=False))
        ((method, own),) = context.for_each([self.method])
        return method(traced, start, own)


def by_name(name: str) -> Callable[[Subject], RecoveryMethod]:
    """The product's method with its defaults."""
    return lambda _: METHODS[name]()


def with_real_images(name: str) -> Callable[[Subject], RecoveryMethod]:
    """The product's method on real images instead of its own: what data would be worth."""

    def make(subject: Subject) -> RecoveryMethod:
        images = subject.unlabelled[:ORACLE_IMAGES]
        source = Given((images,), "real, without labels")
        method: Any = METHODS[name]()
        return replace(method, source=source, images=len(images))

    return make


def with_labels(subject: Subject) -> RecoveryMethod:
    """Fine-tuning on labelled training images."""
    if subject.labelled is None:
        raise UsageError(f"no labelled training images for '{subject.source.name}'")
    return FineTuning(*subject.labelled)


def reconstruct_on(images: int) -> Callable[[Subject], RecoveryMethod]:
    """The product's method on so many procedural images."""
    return lambda _: Reconstruct(images=images)


Fitted = partial(Row, random=True, needs="reconstruct")
Trained = partial(Row, random=True, trains=True)

ROWS: dict[str, Row] = {
    "none": Row(lambda _: NoRecovery()),
    "nm-released": Row(lambda _: NeuronMerging(released=True)),
    "nm": Row(lambda _: NeuronMerging()),
    "lbyl-released": Row(lambda _: Lbyl(released=True)),
    "lbyl": Row(lambda _: Lbyl()),
    "statistics": Row(by_name("statistics"), needs="statistics"),
    "analytic": Row(by_name("analytic"), needs="analytic"),
    "reconstruct-64": Fitted(reconstruct_on(64)),
    "reconstruct": Fitted(by_name("reconstruct")),
    "reconstruct-256": Fitted(reconstruct_on(256)),
    "reconstruct-1024": Fitted(reconstruct_on(1024)),
    "oracle": Fitted(with_real_images("reconstruct")),
    "supervise": Trained(by_name("supervise"), needs="supervise"),
    "supervise-synthesized": Trained(lambda _: Supervise(source=Inversion()), needs="supervise"),
    "supervise-real": Trained(with_real_images("supervise"), needs="supervise"),
    "distill": Trained(by_name("distill"), needs="distill"),
    "finetune": Trained(with_labels, needs="supervise"),
}
