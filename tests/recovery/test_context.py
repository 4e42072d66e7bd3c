"""RecoveryContext: what a run has for its recovery methods reaches each of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import zoo
from fake_clock import FakeClock, replace_clocks

import edgeprune as ep
from edgeprune.artifacts import Note, RecoveryStep
from edgeprune.images.given import Given
from edgeprune.recovery import METHODS, RecoveryContext, recover
from edgeprune.recovery.context import IMAGE_SHARE, labels

if TYPE_CHECKING:
    from edgeprune.artifacts import PrunedModel, TracedModel

REAL = Given((torch.zeros(1, 3, 8, 8),), "of mine")


@dataclass(frozen=True)
class Own(ep.RecoveryMethod):
    """A user's method that defines no more than it has to."""

    contexts: list[RecoveryContext] = field(default_factory=list)

    def __call__(
        self, traced: TracedModel, pruned: PrunedModel, context: RecoveryContext
    ) -> PrunedModel:
        self.contexts.append(context)
        step = RecoveryStep("own", 0.0, 0, (Note("text", {"text": "did nothing"}),))
        return replace(pruned, recovered_by=(*pruned.recovered_by, step))


def contexts(methods: list[Any], **options: Any) -> list[RecoveryContext]:
    """The context of each method in a run."""
    pairs = list(RecoveryContext(**options).for_each(methods))
    assert all(one is other for (one, _), other in zip(pairs, methods, strict=True))
    return [context for _, context in pairs]


@pytest.fixture(scope="module")
def chain() -> tuple[TracedModel, PrunedModel]:
    source = ep.wrap(zoo.build("chain"), zoo.INPUT_SHAPE)
    traced, costs = ep.survey(source)
    return traced, ep.prune(traced, ep.plan(traced, costs, ep.Macs(0.5)).plan)


# --- images ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_every_method_gets_what_the_run_has(name: str, tmp_path: Path) -> None:
    method = METHODS[name]()
    (own,) = contexts([method], images=ep.PinkNoise(), workspace=tmp_path, seed=5)
    assert own.source(method.source) == (method.source and ep.PinkNoise())
    assert own.seed == 5
    assert own.workspace is not None
    assert own.workspace.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_the_users_images_come_before_synthesis_and_after_what_a_method_was_given(
    tmp_path: Path,
) -> None:
    source = ep.wrap(zoo.build("chain"), zoo.INPUT_SHAPE)
    procedural, given = ep.Reconstruct(), ep.Reconstruct(source=REAL)
    photos = tmp_path
    for images, wanted in ((photos, ep.Folder(photos)), (None, ep.PinkNoise())):
        config = ep.CompressConfig(images=images, synthesis=ep.PinkNoise())
        context = config.recovery_context(source)
        assert context.source(procedural.source) == wanted
        assert context.source(given.source) == REAL
        assert context.source(Own().source) is None
    assert RecoveryContext().source(procedural.source) == procedural.source
    assert RecoveryContext().source(given.source) == REAL


def test_methods_share_synthesized_images_and_no_state(tmp_path: Path) -> None:
    methods = [ep.Distill(), ep.Supervise(), ep.Distill()]
    found = contexts(methods, images=ep.Inversion(), workspace=tmp_path)
    assert len({context.workspace for context in found}) == 3
    opened: list[Any] = [
        context.opened(method.source).source for method, context in zip(methods, found, strict=True)
    ]
    assert len({source.workspace for source in opened}) == 1
    assert opened[0].workspace not in {context.workspace for context in found}
    assert opened[0].workspace.parent == tmp_path


def test_a_sources_own_workspace_stays(tmp_path: Path) -> None:
    (own,) = contexts([ep.Distill()], workspace=tmp_path)
    kept: Any = own.opened(ep.Inversion(workspace=Path("mine"))).source
    assert kept.workspace == Path("mine")
    assert own.opened(REAL).source == REAL


def test_without_a_workspace_nothing_is_kept() -> None:
    (own,) = contexts([ep.Distill()])
    assert own.workspace is own.image_workspace is None
    opened: Any = own.opened(ep.Inversion()).source
    assert opened.workspace is None


def test_images_are_saved_and_scored_as_the_run_says(tmp_path: Path) -> None:
    methods = [ep.Distill(), ep.Distill()]
    for folder, score in ((tmp_path, True), (None, False)):
        found = contexts(methods, folder=folder, score_images=score)
        opened = [context.opened(ep.Inversion()) for context in found]
        assert [(each.folder, each.score) for each in opened] == [(folder, score)] * 2
        assert [each.name for each in opened] == ["distill", "distill-2"]


def test_labels_are_distinct_and_the_same_each_time() -> None:
    methods = [ep.Supervise(), ep.Distill(), ep.Supervise(steps=3), Own()]
    assert labels(methods) == ["supervise", "distill", "supervise-2", "own"]


# --- time -----------------------------------------------------------------------------------------


def test_time_is_shared_among_those_that_can_be_timed() -> None:
    synthesizing = ep.Reconstruct(source=ep.Inversion())
    methods = [ep.Supervise(), ep.Reconstruct(), synthesizing, Own(), ep.Distill()]
    shares = [context.seconds for context in contexts(methods, seconds=60.0, clock=FakeClock())]
    # Nothing was done in between: each might take its part of all that is left.
    assert shares == [20, math.inf, 30, math.inf, 60]
    assert [context.seconds for context in contexts(methods)] == [math.inf] * 5


def test_the_runs_images_decide_whether_a_method_can_be_timed() -> None:
    methods = [ep.Reconstruct(), ep.Reconstruct(source=REAL), ep.Analytic()]
    found = contexts(methods, seconds=60.0, images=ep.Inversion(), clock=FakeClock())
    assert [context.seconds for context in found] == [60, math.inf, math.inf]


def test_what_a_method_leaves_of_its_time_goes_to_those_behind_it() -> None:
    clock, shares = FakeClock(), []
    methods = [ep.Supervise(), ep.Analytic(), ep.Distill(), ep.Supervise()]
    for _, context in RecoveryContext(seconds=60.0, clock=clock).for_each(methods):
        shares.append(context.seconds)
        clock.sleep(10)
    assert shares == [20, math.inf, 20, 30]


def test_who_comes_after_the_end_has_no_time_left() -> None:
    clock, shares = FakeClock(), []
    for _, context in RecoveryContext(seconds=5.0, clock=clock).for_each([ep.Auto(), ep.Auto()]):
        shares.append(context.seconds)
        clock.sleep(9)
    assert shares == [2.5, 0]


def test_a_method_passes_a_part_of_its_time_to_its_source() -> None:
    (own,) = contexts([ep.Distill()], seconds=8.0, clock=FakeClock())
    assert own.seconds == 8
    assert own.opened(ep.Inversion(), timed=True).seconds == 8 * IMAGE_SHARE
    (alone,) = contexts([ep.Reconstruct(source=ep.Inversion())], seconds=8.0, clock=FakeClock())
    assert alone.opened(ep.Inversion()).seconds == 8
    (untimed,) = contexts([ep.Reconstruct()], seconds=8.0, clock=FakeClock())
    assert untimed.opened(ep.DeadLeaves()).seconds == math.inf


def test_a_method_that_another_calls_keeps_the_seed_and_gets_images_of_its_own() -> None:
    asked: list[float] = []
    outer = RecoveryContext(
        images=REAL, seed=3, seconds=9.0, folder=Path("run"), image_workspace=Path("images"),
        workspace=Path("state"),
    )  # fmt: skip
    inner = outer.within(2.0, lambda share, _: asked.append(share))
    assert (inner.seed, inner.seconds, inner.workspace) == (3, 2.0, Path("state"))
    assert inner.images is inner.folder is inner.image_workspace is None
    assert not inner.score_images
    assert inner.progress is not None
    inner.progress(0.5, "half")
    assert asked == [0.5]


# --- recover --------------------------------------------------------------------------------------


def test_recovery_keeps_to_its_time(
    chain: tuple[TracedModel, PrunedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = (ep.Supervise(), ep.Analytic(), ep.Distill())
    clock = replace_clocks(monkeypatch, tick=0.01)
    found = recover(*chain, methods, RecoveryContext(seconds=6.0, clock=clock))
    assert 4 < clock.now < 1.1 * 6
    steps = found.recovered_by
    assert [step.method for step in steps] == ["supervise", "analytic", "distill"]
    assert all(step.curve[-1][0] >= 1 for step in (steps[0], steps[2]))
    assert [step.quality is not None for step in steps] == [True, False, True]


def test_a_users_method_needs_no_more_than_a_call_and_sees_the_run(
    chain: tuple[TracedModel, PrunedModel], tmp_path: Path
) -> None:
    method, other = Own(), Own()
    context = RecoveryContext(images=REAL, seed=7, seconds=60.0, workspace=tmp_path)
    found = recover(*chain, [method, other], context)
    assert [step.method for step in found.recovered_by] == ["own", "own"]
    (first,), (second,) = method.contexts, other.contexts
    assert (first.seed, first.images, first.seconds) == (7, REAL, math.inf)
    assert (first.workspace, second.workspace) == (tmp_path / "own", tmp_path / "own-2")
