"""What a run has for its recovery methods reaches those that have a place for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import zoo
from fake_clock import replace_clocks

import edgeprune as ep
from edgeprune.images.given import Given
from edgeprune.recovery import METHODS, equipped, recover
from edgeprune.recovery.context import IMAGINING, Clock, labels, watched

if TYPE_CHECKING:
    from edgeprune.artifacts import PrunedModel

REAL = Given((torch.zeros(1, 3, 8, 8),), "of mine")


@dataclass(frozen=True)
class Own:
    """A user's method, with nothing to fill in."""

    def __call__(self, traced: Any, pruned: PrunedModel, progress: Any = None) -> PrunedModel:
        return pruned


@pytest.mark.parametrize("name", METHODS)
def test_every_method_takes_what_it_has_a_place_for(name: str, tmp_path: Path) -> None:
    method: Any = METHODS[name]()
    (given,) = equipped([method], synthesis=ep.PinkNoise(), workspace=tmp_path, seed=5)
    assert type(given) is type(method)
    for field, wanted in {"source": ep.PinkNoise(), "seed": 5}.items():
        if hasattr(method, field):
            assert getattr(given, field) == wanted
    if hasattr(method, "workspace"):
        assert given.workspace.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_the_users_images_come_before_synthesis_and_after_what_a_method_was_given() -> None:
    drawing, given = ep.Reconstruct(), ep.Reconstruct(source=REAL)
    photos = ep.Folder(Path("photos"))
    for images, wanted in ((photos, photos), (None, ep.PinkNoise())):
        found: Any = equipped([drawing, given], images=images, synthesis=ep.PinkNoise())
        assert [each.source for each in found] == [wanted, REAL]
    assert equipped([Own()], images=photos, seed=1) == (Own(),)
    assert equipped([ep.Supervise(seed=3)], seed=1)[0].seed == 3  # type: ignore[attr-defined]


def test_methods_share_imagined_images_and_no_state(tmp_path: Path) -> None:
    found: Any = equipped(
        [ep.Distill(), ep.Supervise(), ep.Distill()], synthesis=ep.Inversion(), workspace=tmp_path
    )
    assert len({each.workspace for each in found}) == 3
    assert len({each.source.workspace for each in found}) == 1
    kept = ep.Distill(source=ep.Inversion(workspace=Path("mine")), workspace=Path("own"), seed=0)
    (same,) = equipped([kept], workspace=tmp_path)
    assert same == kept
    assert same.source.workspace == Path("mine")  # type: ignore[attr-defined]


def test_labels_are_told_apart_and_the_same_each_time() -> None:
    methods = [ep.Supervise(), ep.Distill(), ep.Supervise(steps=3), Own()]
    assert labels(methods) == ["supervise", "distill", "supervise-2", "own"]


def test_time_is_shared_among_those_that_can_be_timed() -> None:
    imagining = ep.Reconstruct(source=ep.Inversion())
    methods = [ep.Supervise(), ep.Reconstruct(), imagining, Own(), ep.Distill()]
    clock = Clock(methods, 60.0)
    shares = [clock.share_of(method) for method in methods]
    assert [math.isinf(share) for share in shares] == [False, True, False, True, False]
    # Nothing was done in between: each might take half of what is left for two, and so on.
    assert shares[0] == pytest.approx(20, rel=0.01)
    assert shares[2] == pytest.approx(30, rel=0.01)
    assert shares[4] == pytest.approx(60, rel=0.01)
    assert all(math.isinf(Clock(methods, None).share_of(method)) for method in methods)


def test_a_method_passes_a_part_of_its_time_to_its_source() -> None:
    found: Any = watched(ep.Distill(seconds=100), 8.0, None, "distill")
    assert (found.seconds, found.source.seconds) == (8.0, 8.0 * IMAGINING)
    found = watched(ep.Distill(seconds=2), 8.0, None, "distill")
    assert found.seconds == 2
    alone: Any = watched(ep.Reconstruct(source=ep.Inversion()), 8.0, None, "reconstruct")
    assert alone.source.seconds == 8.0
    assert watched(Own(), math.inf, None, "own") == Own()


def test_recovery_keeps_to_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    source = ep.wrap(zoo.build("chain"), zoo.INPUT_SHAPE)
    traced, _ = ep.survey(source)
    pruned = ep.prune(traced, ep.plan(traced, ep.survey(source)[1], ep.Macs(0.5)).plan)
    methods = (ep.Supervise(seed=0), ep.Analytic(), ep.Distill(seed=0))
    clock = replace_clocks(monkeypatch, tick=0.01)
    found = recover(traced, pruned, methods, seconds=6.0)
    assert 4 < clock.now < 1.1 * 6
    steps = found.recovered_by
    assert [step.method for step in steps] == ["supervise", "analytic", "distill"]
    assert all(step.curve[-1][0] >= 1 for step in (steps[0], steps[2]))
    assert [step.quality is not None for step in steps] == [True, False, True]
