"""What the recovery table compares: a name and what makes the method, one line each.

Rows that train start from what ``reconstruct`` leaves, the same for all of them, and their seconds
hold it too. ``finetune`` is the upper bound: it sees labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from fine_tuning import FineTuning
from subjects import CALIBRATION, Subject

from edgeprune.calibration.inversion import Inversion
from edgeprune.calibration.sources import Given
from edgeprune.errors import UsageError
from edgeprune.recovery import METHODS, NoRecovery
from edgeprune.recovery.lbyl import Lbyl
from edgeprune.recovery.neuron_merging import NeuronMerging
from edgeprune.recovery.reconstruct import Reconstruct
from edgeprune.recovery.supervise import Supervise

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprune.artifacts import Progress, PrunedModel, TracedModel
    from edgeprune.recovery import RecoveryMethod


@dataclass(frozen=True)
class Limits:
    """How long rows that train may.

    Attributes:
        steps: 0: as the method chooses.
        seconds: Of the training, without what ``reconstruct`` takes before.
    """

    steps: int = 0
    seconds: float = math.inf


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        make: Makes the method for a network and a seed, and with limits if it trains.
        draws: Whether the method draws, and so runs once for each seed.
        trains: Whether it takes minutes, and starts from what ``reconstruct`` leaves.
        needs: A row of ``METHODS`` without which there is no such method yet.
    """

    make: Callable[..., RecoveryMethod]
    draws: bool = False
    trains: bool = False
    needs: str = "none"

    def method(self, subject: Subject, seed: int, limits: Limits) -> RecoveryMethod:
        """The method to run."""
        if not self.trains:
            return self.make(subject, seed)
        return Reconstructed(self.make(subject, seed, steps=limits.steps, seconds=limits.seconds))


@dataclass(frozen=True)
class Reconstructed:
    """A method that starts from what ``reconstruct`` leaves."""

    method: RecoveryMethod

    def __call__(
        self, traced: TracedModel, pruned: PrunedModel, progress: Progress | None = None
    ) -> PrunedModel:
        return self.method(traced, Reconstruct()(traced, pruned), progress)


def by_name(name: str) -> Callable[..., RecoveryMethod]:
    """The product's method with its defaults, and the seed if it takes one."""
    return lambda _, seed, **limits: replace(seeded(METHODS[name](), seed), **limits)


def with_real_images(name: str) -> Callable[..., RecoveryMethod]:
    """The product's method, fed real images instead of what it makes: what data would be worth."""

    def make(subject: Subject, seed: int, **limits: Any) -> RecoveryMethod:
        images = subject.unlabelled[:CALIBRATION]
        source = Given((images,), "real, without labels")
        method = replace(METHODS[name](), source=source, images=len(images), **limits)
        return seeded(method, seed)

    return make


def with_labels(subject: Subject, seed: int, **limits: Any) -> RecoveryMethod:
    """Fine-tuning on the images of the training, as far as there are some."""
    if subject.labelled is None:
        raise UsageError(f"no labelled training images for '{subject.source.name}'")
    return FineTuning(*subject.labelled, like=Supervise(**limits), seed=seed)


def reconstruct_on(images: int) -> Callable[..., RecoveryMethod]:
    """The product's method, on so many images that are drawn."""
    return lambda _, seed: Reconstruct(images=images, seed=seed)


def on_dreams(_: Subject, seed: int, **limits: Any) -> RecoveryMethod:
    """Features on images that the network imagines."""
    return Supervise(source=Inversion(), images=512, seed=seed, **limits)


def seeded(method: RecoveryMethod, seed: int) -> RecoveryMethod:
    """The method with its seed set, if it has one."""
    has_seed = any(field.name == "seed" for field in fields(method))
    return replace(method, seed=seed) if has_seed else method


Fitted = partial(Row, draws=True, needs="reconstruct")
Trained = partial(Row, draws=True, trains=True)

ROWS: dict[str, Row] = {
    "none": Row(lambda *_: NoRecovery()),
    "nm-released": Row(lambda *_: NeuronMerging(released=True)),
    "nm": Row(lambda *_: NeuronMerging()),
    "lbyl-released": Row(lambda *_: Lbyl(released=True)),
    "lbyl": Row(lambda *_: Lbyl()),
    "statistics": Row(by_name("statistics"), needs="statistics"),
    "analytic": Row(by_name("analytic"), needs="analytic"),
    "reconstruct-64": Fitted(reconstruct_on(64)),
    "reconstruct": Fitted(by_name("reconstruct")),
    "reconstruct-256": Fitted(reconstruct_on(256)),
    "reconstruct-1024": Fitted(reconstruct_on(1024)),
    "oracle": Fitted(with_real_images("reconstruct")),
    "supervise": Trained(by_name("supervise"), needs="supervise"),
    "supervise-dreams": Trained(on_dreams, needs="supervise"),
    "supervise-real": Trained(with_real_images("supervise"), needs="supervise"),
    "distill": Trained(by_name("distill"), needs="distill"),
    "finetune": Trained(with_labels, needs="supervise"),
}
