"""Budgets of latency and size are met by measuring, with the time of a run injected."""

from types import SimpleNamespace

import pytest
import zoo
from traced_zoo import source_of

import edgeprune as ep
from edgeprune import costs, distributed
from edgeprune.artifacts import RatioInterval
from edgeprune.bench import instructions
from edgeprune.errors import BudgetUnreachable, UsageError
from edgeprune.images.folder import Folder
from edgeprune.pipeline import budget_trials
from edgeprune.pipeline.compress import survey
from edgeprune.pipeline.config import CompressConfig
from edgeprune.pipeline.pruning_stage import planned
from edgeprune.pipeline.stage_log import StageLog

QUICK = {"recover": (), "seed": 0}


@pytest.fixture
def timed(monkeypatch):
    """A device on which a file takes as long as a function of its share of MACs says."""

    def by(law, block=1):
        def compare(original, compressed, settings, progress):
            whole, left = (costs.count_onnx(path).macs for path in (original, compressed))
            share = law(left / whole)
            return SimpleNamespace(ratio=RatioInterval(share, share, share, 0.95))

        monkeypatch.setattr(instructions, "comparing_on", lambda device: compare)
        monkeypatch.setattr(budget_trials, "layer_seconds", lambda *_: {})
        monkeypatch.setattr(budget_trials, "channel_block", lambda *_: block)

    return by


def chosen(**settings):
    """What a run that stops after pruning decides."""
    source = source_of(zoo.build("residual"), zoo.INPUT_SHAPE)
    config = CompressConfig(**QUICK, **settings)
    surveyed = survey(source)
    return planned(surveyed, source, config, StageLog())


@pytest.mark.parametrize("law", [lambda s: s, lambda s: 0.3 + 0.7 * s, lambda s: s**0.5])
def test_widths_are_corrected_until_the_latency_is_close(timed, law):
    timed(law)
    plan, budget = chosen(latency=0.6)
    assert budget.kind == "latency"
    assert not budget.missed
    assert budget.reached == pytest.approx(0.6, abs=budget_trials.CLOSE)
    assert plan.groups


def test_what_no_width_reaches_is_refused_with_the_nearest(timed):
    timed(lambda share: 0.8 + 0.2 * share)
    with pytest.raises(BudgetUnreachable, match=r"--latency is out of reach: latency 8\d"):
        chosen(latency=0.3)


def test_widths_are_multiples_of_the_block_that_was_measured(timed):
    timed(lambda share: share, block=8)
    plan, _ = chosen(latency=0.6)
    assert all(len(group.kept) % 8 == 0 for group in plan.groups)


def test_the_size_of_the_file_is_met():
    report = ep.compress(
        zoo.build("residual"), zoo.INPUT_SHAPE, size=0.6, bench=False, recover="none"
    )
    files = [side.onnx.bytes for side in (report.document.original, report.document.compressed)]
    budget = report.document.budget
    assert budget.kind == "size"
    assert not budget.missed
    assert budget.reached == pytest.approx(files[1] / files[0])
    assert budget.reached <= 0.6 + budget_trials.CLOSE


def test_a_size_in_bytes_is_told_in_bytes():
    report = ep.compress(
        zoo.build("residual"), zoo.INPUT_SHAPE, size="40kB", bench=False, recover="none"
    )
    budget = report.document.budget
    assert (budget.unit, budget.asked) == ("bytes", 40e3)
    assert budget.reached == report.document.compressed.onnx.bytes


def test_latency_without_measuring_is_refused_at_once():
    with pytest.raises(UsageError, match="--latency is met by measuring: leave out --no-bench"):
        CompressConfig(latency="50%", bench=False)
    with pytest.raises(UsageError, match="--size is met by measuring"):
        CompressConfig(size="50%", target=None)


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setattr(distributed, "several", lambda: True)
    with pytest.raises(UsageError, match="--latency is measured by one process"):
        CompressConfig(latency="50%")


def test_two_budgets_are_one_too_many():
    with pytest.raises(UsageError, match="choose one budget of macs=, latency="):
        CompressConfig(macs=0.5, latency=0.5)


@pytest.mark.parametrize("asked", [0.1, 0.2, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("power", [0.3, 0.5, 0.8, 1.0, 1.3, 2.0])
@pytest.mark.parametrize("floor", [0.0, 0.05, 0.09])
def test_three_trials_close_in_on_figures_that_rise_with_the_price(asked, power, floor):
    seen = [(1.0, 1.0)]
    for _ in range(3):
        aim = budget_trials.next_aim(asked, seen, 1e-6)
        seen.append((aim, floor + (1 - floor) * aim**power))
    assert min(abs(reached - asked) for _, reached in seen) < budget_trials.CLOSE


def test_an_aim_is_never_below_what_widths_can_come_to():
    assert budget_trials.next_aim(0.1, [(1.0, 1.0)], 0.4) == 0.4


def test_trials_look_at_the_images_that_the_user_gave(timed, tmp_path, monkeypatch):
    timed(lambda share: share)
    seen, prune = [], budget_trials.prune_to_budget

    def looked(*given, watched, **options):
        seen.append(watched.source)
        return prune(*given, watched=watched, **options)

    monkeypatch.setattr(budget_trials, "prune_to_budget", looked)
    (tmp_path / "photos").mkdir()
    chosen(latency=0.6, images=tmp_path / "photos")
    assert seen
    assert all(source == Folder(tmp_path / "photos") for source in seen)
