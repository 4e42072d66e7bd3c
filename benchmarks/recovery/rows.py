"""What the recovery table compares: a name and what makes the method, one line each."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from subjects import CALIBRATION, Subject

from edgeprune.calibration.sources import Given
from edgeprune.recovery import METHODS, NoRecovery
from edgeprune.recovery.lbyl import Lbyl
from edgeprune.recovery.neuron_merging import NeuronMerging

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprune.recovery import RecoveryMethod


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        make: Makes the method for a network and a seed.
        draws: Whether the method draws, and so runs once for each seed.
        needs: A row of ``METHODS`` without which there is no such method yet.
    """

    make: Callable[[Subject, int], RecoveryMethod]
    draws: bool = False
    needs: str = "none"


def by_name(name: str) -> Callable[[Subject, int], RecoveryMethod]:
    """The product's method with its defaults, and the seed if it takes one."""
    return lambda _, seed: seeded(METHODS[name](), seed)


def with_real_images(name: str) -> Callable[[Subject, int], RecoveryMethod]:
    """The product's method, fed real images instead of what it makes: what data would be worth."""

    def make(subject: Subject, seed: int) -> RecoveryMethod:
        images = subject.unlabelled[:CALIBRATION]
        source = Given((images,), "real, without labels")
        method = replace(METHODS[name](), source=source, images=len(images))
        return seeded(method, seed)

    return make


def seeded(method: RecoveryMethod, seed: int) -> RecoveryMethod:
    """The method with its seed set, if it has one."""
    has_seed = any(field.name == "seed" for field in fields(method))
    return replace(method, seed=seed) if has_seed else method


ROWS: dict[str, Row] = {
    "none": Row(lambda *_: NoRecovery()),
    "nm-released": Row(lambda *_: NeuronMerging(released=True)),
    "nm": Row(lambda *_: NeuronMerging()),
    "lbyl-released": Row(lambda *_: Lbyl(released=True)),
    "lbyl": Row(lambda *_: Lbyl()),
    "statistics": Row(by_name("statistics"), needs="statistics"),
    "analytic": Row(by_name("analytic"), needs="analytic"),
    "reconstruct": Row(by_name("reconstruct"), draws=True, needs="reconstruct"),
    "oracle": Row(with_real_images("reconstruct"), draws=True, needs="reconstruct"),
}
