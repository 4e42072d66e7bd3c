"""Image sources keep to their time, measured with a clock that the tests advance."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
import torch
from fake_clock import FakeClock
from synthesized import original

from edgeprune import training
from edgeprune.artifacts import ImageKind
from edgeprune.images.observed import ObservedSource
from edgeprune.images.procedural import DeadLeaves, PinkNoise
from edgeprune.images.synthesis import generator, inversion
from edgeprune.images.synthesis.generator import Generated
from edgeprune.images.synthesis.inversion import Inversion
from edgeprune.images.time_limit import TRIAL, TimeLimit, within_time

if TYPE_CHECKING:
    from torch import Tensor

    from edgeprune.artifacts import Progress, SourceModel

MODEL, _ = original("chain")


@dataclass(frozen=True)
class Slow:
    """A user's source, which takes a millisecond an image."""

    clock: FakeClock = field(default_factory=FakeClock)
    origin: str = "slow"
    kind: ImageKind = ImageKind.PROCEDURAL

    def __call__(
        self, original: SourceModel, count: int, seed: int, progress: Progress | None = None
    ) -> tuple[Tensor, ...]:
        self.clock.sleep(1e-3 * count)
        return PinkNoise()(original, count, seed)


def test_what_is_left_of_a_time_goes_down_as_the_clock_goes_on() -> None:
    clock = FakeClock()
    limit = TimeLimit(5.0, training.join(), clock)
    left = [limit.left()]
    for _ in range(3):
        clock.sleep(2.0)
        left.append(limit.left())
    assert left == [5.0, 3.0, 1.0, -1.0]
    assert TimeLimit(float("inf"), training.join(), clock).left() == float("inf")


def test_a_source_that_cannot_hurry_is_asked_for_fewer() -> None:
    source = Slow()
    began = source.clock()
    (some,) = within_time(source, MODEL, 10_000, 3, 0.5, clock=source.clock)
    assert source.clock() - began <= 0.5 + 1e-9
    assert 400 < len(some) <= 500
    assert torch.equal(some, Slow()(MODEL, len(some), 3)[0])


@pytest.mark.parametrize(("count", "seconds"), [(70, 5.0), (10, 0.0), (300, float("inf"))])
def test_no_images_are_missing_where_there_is_time_for_them(count: int, seconds: float) -> None:
    source = Slow()
    assert len(within_time(source, MODEL, count, 3, seconds, clock=source.clock)[0]) == count


@pytest.mark.parametrize(
    ("source", "room"),
    [(Inversion(steps=30, batch=16), inversion), (Generated(steps=10, batch=16), generator)],
    ids=["inversion", "generator"],
)
@pytest.mark.parametrize("batches", [1, 3])
def test_synthesis_makes_as_many_batches_as_it_has_time_for(
    source: Inversion | Generated, room: object, batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    monkeypatch.setattr(room, "TimeLimit", partial(TimeLimit, clock=clock))
    if room is inversion:
        monkeypatch.setattr(room, "within_time", partial(within_time, clock=clock))
    limit = 30.0 * (batches + 0.5)  # time for half a batch more, at 30 s a batch
    limited = replace(source, seconds=limit)
    began = clock()
    (some,) = limited(MODEL, 160, 3, lambda share, _: clock.sleep(30.0 / source.steps))
    assert len(some) == 16 * batches
    assert clock() - began <= limit
    assert some.isfinite().all()
    assert repr(limited) == repr(source)


def test_one_batch_is_made_if_there_is_no_time() -> None:
    (some,) = Inversion(steps=4, batch=8, seconds=0.0)(MODEL, 64, 3)
    assert len(some) == 8
    (some,) = ObservedSource(DeadLeaves(), None, "auto", 0.0)(MODEL, 500, 3)
    assert len(some) == TRIAL
