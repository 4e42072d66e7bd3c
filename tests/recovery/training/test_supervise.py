"""Supervise: nothing where nothing is missing, better where something is, the same each time."""

import digits as digits_files
import numpy as np
import pytest
import torch
import zoo
from fake_clock import replace_clocks
from students import DIGIT, accuracy, feature_error, halved, is_bare, of_digits, same, tiny
from torch import nn
from traced_zoo import Calls, outputs, random_plan, traced, traced_network, unchanged

from edgeprune.artifacts import PruningPlan, SourceModel
from edgeprune.errors import UsageError
from edgeprune.images.given import Given
from edgeprune.images.procedural import DeadLeaves
from edgeprune.pruning import prune
from edgeprune.recovery.context import RecoveryContext
from edgeprune.recovery.layerwise.reconstruct import Reconstruct
from edgeprune.recovery.training.supervise import Supervise, feature_loss

IMAGES = torch.randn(32, 3, 16, 16, generator=torch.Generator().manual_seed(1))
REAL = Given((IMAGES,), "of a camera")
SHORT = Supervise(images=32, batch=8, steps=12)
BOTH = {"procedural": SHORT, "real": Supervise(source=REAL, batch=8, steps=12)}
WHOLE = PruningPlan((), "0" * 64, {})


def test_the_loss_is_that_of_the_paper():
    draw = torch.Generator().manual_seed(0)
    wanted = [torch.randn(4, channels, 3, 3, generator=draw) for channels in (2, 5, 7)]
    found = [torch.randn(each.shape, generator=draw) for each in wanted]
    gaps = [np.abs(s.numpy() - t.numpy()).mean() for t, s in zip(wanted, found, strict=True)]
    expected = sum((1 + place / 3) * gap for place, gap in enumerate(gaps, 1)) / 3
    assert float(feature_loss(wanted, found)) == pytest.approx(expected, rel=1e-5)
    assert feature_loss(wanted, wanted) == 0
    assert feature_loss([], []) == 0


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("name", sorted(set(zoo.NETWORKS) - {"no-norm"}))
def test_every_coupling_is_trained_and_nothing_given_changes(name, kind):
    model = traced(name)
    pruned = prune(model, random_plan(model, 6, most=0.8))
    with unchanged(model.source.module), unchanged(pruned.module):
        done = BOTH[kind](model, pruned)
    assert is_bare(done.module)
    assert all(output.isfinite().all() for output in outputs(done.module, IMAGES))
    flags = [each.requires_grad for each in pruned.module.parameters()]
    assert [each.requires_grad for each in done.module.parameters()] == flags
    (step,) = done.recovered_by
    assert step.curve[0][0] == 0
    assert min(error for _, error in step.curve) <= step.curve[0][1]


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("name", ["chain", "residual", "concat", "two-outputs", "group-norm"])
def test_where_nothing_was_removed_nothing_changes(name, kind):
    model = traced(name)
    pruned = prune(model, WHOLE)
    done = BOTH[kind](model, pruned)
    assert all(error == pytest.approx(0, abs=1e-6) for _, error in done.recovered_by[-1].curve)
    for wanted, found in zip(*(outputs(m.module, IMAGES) for m in (pruned, done)), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_without_batch_norm_procedural_images_are_refused_and_real_ones_taken():
    model = traced("no-norm")
    pruned = prune(model, random_plan(model, 6, most=0.8))
    with pytest.raises(UsageError, match="pass --images"):
        SHORT(model, pruned)
    done = BOTH["real"](model, pruned)
    assert not same(done.module, pruned.module)
    values = done.recovered_by[-1].notes[0].values
    assert (values["steps"], values["images"], values["origin"]) == (12, 26, "of a camera")


def test_batch_norms_that_run_twice_say_nothing_of_procedural_images():
    """There is then nothing to compare, and nothing is done."""
    network = Calls(
        lambda net, x: net.head(net.norm(net.two(net.norm(net.one(x)).relu()))),
        one=nn.Conv2d(3, 8, 1), two=nn.Conv2d(8, 8, 1), norm=nn.BatchNorm2d(8), head=zoo.head(8),
    )  # fmt: skip
    model = traced_network(network)
    pruned = prune(model, WHOLE)
    done = SHORT(model, pruned)
    assert same(done.module, pruned.module)
    assert [note.kind for note in done.recovered_by[-1].notes] == ["nothing-to-compare"]


@pytest.mark.parametrize("count", [2, 6, 11])
def test_few_images_will_do(count):
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(768, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 5)
    )
    model = traced_network(network)
    pruned = prune(model, random_plan(model, 6, most=0.8))
    method = Supervise(source=Given((IMAGES[:count],)), steps=3)
    assert outputs(method(model, pruned).module, IMAGES)[0].isfinite().all()


def test_two_inputs_of_which_one_is_no_image():
    network = Calls(
        lambda net, x, y: net.tail(net.body(x)) + net.beside(y),
        body=nn.Sequential(zoo.conv_bn(3, 16), zoo.conv_bn(16, 16)), tail=zoo.head(16),
        beside=nn.Linear(7, 5),
    )  # fmt: skip
    model = traced_network(network, (1, 3, 16, 16), (1, 7))
    pruned = prune(model, random_plan(model, 6, most=0.8))
    done = SHORT(model, pruned)
    assert not same(done.module, pruned.module)
    assert done.module(IMAGES, torch.randn(32, 7)).isfinite().all()


# --- training itself ------------------------------------------------------------------------------


def test_the_seed_decides_bit_by_bit():
    model = tiny()
    pruned = halved(model)

    def run(seed):
        return SHORT(model, pruned, RecoveryContext(seed=seed)).module

    first = run(3)
    torch.manual_seed(99)
    assert same(first, run(3))
    assert not same(first, run(4))


@pytest.mark.parametrize("stop", [1, 7, 12])
def test_what_was_cut_short_goes_on_to_the_same_weights(stop, tmp_path):
    model = tiny()
    pruned = halved(model)
    whole = SHORT(model, pruned)
    state, passed = tmp_path / "state", []

    def interrupt(share, text):
        passed.append(text)
        if len(passed) == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SHORT(model, pruned, RecoveryContext(workspace=state, progress=interrupt))
    again = []
    context = RecoveryContext(workspace=state, progress=lambda share, text: again.append(share))
    done = SHORT(model, pruned, context)
    assert same(done.module, whole.module)
    assert len(again) == 12 - stop
    assert done.recovered_by[-1].curve == whole.recovered_by[-1].curve


def test_the_state_of_another_start_is_not_gone_on_from(tmp_path):
    model = tiny()
    first, second = halved(model), halved(model)
    with torch.no_grad():
        second.module[0].weight.mul_(1.5)
    context = RecoveryContext(workspace=tmp_path)
    SHORT(model, first, context)
    assert same(SHORT(model, second, context).module, SHORT(model, second).module)


def test_the_best_step_is_kept():
    """A rate at which training diverges: what was best before remains."""
    model = tiny()
    pruned = halved(model)
    done = Supervise(images=64, batch=8, steps=40, learning_rate=1e4)(model, pruned)
    curve = done.recovered_by[-1].curve
    best = min(curve, key=lambda point: point[1])
    assert curve[-1][1] > best[1]
    values = done.recovered_by[-1].notes[0].values
    assert values["best_step"] == best[0]
    assert (values["loss_before"], values["loss_after"]) == (curve[0][1], best[1])
    validated = DeadLeaves()(model.source, 72, 0)[0][:8]
    assert feature_error(model, done, validated) == pytest.approx(best[1], rel=1e-3)


def test_time_is_kept_to(monkeypatch):
    model = tiny()
    pruned = halved(model)
    clock = replace_clocks(monkeypatch, tick=0.005)
    context = RecoveryContext(seconds=2.0, clock=clock)
    done = Supervise(images=64, batch=8)(model, pruned, context)
    assert 1.5 < clock.now < 2.2
    assert 1 <= done.recovered_by[-1].notes[0].values["steps"] < 20_000
    curve = done.recovered_by[-1].curve
    assert min(error for _, error in curve) < curve[0][1]


def test_progress_ends_with_the_whole():
    model, shares = tiny(), []
    context = RecoveryContext(progress=lambda share, text: shares.append(share))
    SHORT(model, halved(model), context)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1, abs=0.1)


# --- a trained network ----------------------------------------------------------------------------


def test_on_a_trained_network_features_come_nearer_on_images_never_seen(digits):
    model = of_digits(digits.module)
    start = Reconstruct(images=128)(model, halved(model))
    done = Supervise(images=512, steps=100)(model, start)
    real = torch.from_numpy(digits_files.normalised(digits_files.pictures()[1]))[:256]
    leaves = DeadLeaves()(SourceModel(digits.module, DIGIT, "", ""), 256, 77)[0]
    for images, share in ((leaves, 0.8), (real, 0.9)):
        before, after = (feature_error(model, each, images) for each in (start, done))
        assert after < share * before
    assert accuracy(done.module) >= accuracy(start.module)
