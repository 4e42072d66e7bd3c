"""Distill: whatever a network gives, its pruned copy comes nearer to it."""

import copy
from dataclasses import replace

import digits as digits_files
import pytest
import torch
import zoo
from scipy.special import rel_entr, softmax
from students import accuracy, halved, is_bare, of_digits, same, tiny
from torch import nn
from traced_zoo import Calls, outputs, random_plan, traced, traced_network, unchanged

from edgeprune.artifacts import PruningPlan
from edgeprune.errors import UsageError
from edgeprune.images.given import Given
from edgeprune.images.procedural import DeadLeaves
from edgeprune.images.synthesis.inversion import Inversion
from edgeprune.pruning import prune
from edgeprune.recovery.context import RecoveryContext
from edgeprune.recovery.layerwise.reconstruct import Reconstruct
from edgeprune.recovery.training.distill import Distill
from edgeprune.recovery.training.supervise import feature_loss
from edgeprune.recovery.training.task import NetworkOutputs

IMAGES = torch.randn(40, 3, 16, 16, generator=torch.Generator().manual_seed(1))
REAL = Given((IMAGES,), "of a camera")
SHORT = Distill(source=DeadLeaves(), images=32, batch=8, steps=12)
ON_REAL = Distill(source=REAL, batch=8, steps=40, outputs=1.0)
WHOLE = PruningPlan((), "0" * 64, {})


def body():
    return nn.Sequential(zoo.conv_bn(3, 16), zoo.conv_bn(16, 24))


KINDS = {
    "logits": lambda net, x: net.label(x),
    "probabilities": lambda net, x: net.label(x).softmax(1),
    "maps": lambda net, x: net.maps(x),
    "tuple": lambda net, x: (net.maps(x), net.label(x)),
    "pyramid": lambda net, x: [net.maps(x), {"coarse": net.maps(x[:, :, ::2, ::2])}],
    "numbers": lambda net, x: net.label(x).sum(1),
    "with-classes": lambda net, x: (net.label(x), net.label(x).argmax(1)),
}


def giving(kind):
    """A network whose outputs are what ``KINDS`` makes of features."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Calls(
            lambda net, x: KINDS[kind](net, net.body(x)),
            body=body(), maps=nn.Conv2d(24, 3, 1), label=zoo.head(24),
        )  # fmt: skip
        return traced_network(zoo.calibrated(network, IMAGES))


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_a_network_gives_is_learnt(kind):
    model = giving(kind)
    pruned = prune(model, random_plan(model, 6, most=0.6))
    with unchanged(model.source.module), unchanged(pruned.module):
        done = ON_REAL(model, pruned)
    (first, error), (_, last) = done.recovered_by[-1].curve[0], done.recovered_by[-1].curve[-1]
    assert first == 0
    assert last < 0.9 * error
    assert is_bare(done.module)


@pytest.mark.parametrize("kind", KINDS)
def test_where_nothing_was_removed_nothing_changes(kind):
    model = giving(kind)
    done = ON_REAL(model, prune(model, WHOLE))
    # Adam makes steps of rounding, but none is better than where it began.
    assert done.recovered_by[-1].curve[0] == (0, pytest.approx(0, abs=1e-6))
    found = [module(IMAGES) for module in (model.source.module, done.module)]
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["residual", "concat", "layer-scale", "group-norm", "two-outputs"])
def test_couplings_are_trained_on_procedural_images(name):
    model = traced(name)
    pruned = prune(model, random_plan(model, 6, most=0.8))
    with unchanged(model.source.module), unchanged(pruned.module):
        done = SHORT(model, pruned)
    assert all(output.isfinite().all() for output in outputs(done.module, IMAGES))
    assert done.recovered_by[-1].method == "distill"


def test_the_loss_is_the_weighted_sum_of_both():
    draw = torch.Generator().manual_seed(0)
    wanted, found = (
        NetworkOutputs(
            [torch.randn(4, 3, 2, 2, generator=draw)], [torch.randn(4, 5, generator=draw)]
        )
        for _ in range(2)
    )
    p, q = (softmax(each.outputs[0].numpy() / 2.0, 1) for each in (wanted, found))
    of_outputs = 4.0 * rel_entr(p, q).sum(1).mean()
    of_features = float(feature_loss(wanted.features, found.features))
    for features, weight in ((1.0, 0.1), (0.0, 1.0), (2.0, 0.0)):
        method = Distill(temperature=2.0, features=features, outputs=weight)
        expected = features * of_features + weight * of_outputs
        assert float(method.loss(wanted, found)) == pytest.approx(expected, rel=1e-4)


def test_without_batch_norm_procedural_images_are_refused_and_real_ones_taken():
    model = traced("no-norm")
    pruned = prune(model, random_plan(model, 6, most=0.8))
    for source in (DeadLeaves(), Inversion()):
        with pytest.raises(UsageError, match="pass --images"):
            replace(SHORT, source=source)(model, pruned)
    assert not same(ON_REAL(model, pruned).module, pruned.module)


def test_two_images_as_inputs():
    network = Calls(
        lambda net, x, y: net.head(net.one(x) + net.other(y)),
        one=body(), other=body(), head=zoo.head(24),
    )  # fmt: skip
    model = traced_network(network, (1, 3, 16, 16), (1, 3, 16, 16))
    pruned = prune(model, random_plan(model, 6, most=0.8))
    done = SHORT(model, pruned)
    assert not same(done.module, pruned.module)
    assert done.module(IMAGES, IMAGES).isfinite().all()


def test_synthesized_images_are_its_own_and_the_seed_decides():
    model = tiny()
    pruned = halved(model)
    method = Distill(source=Inversion(steps=3), images=16, batch=8, steps=5)
    first, again, other = (method(model, pruned, RecoveryContext(seed=seed)) for seed in (2, 2, 3))
    assert same(first.module, again.module)
    assert "synthesized by model inversion" in first.recovered_by[-1].notes[0].values["origin"]
    assert not same(first.module, other.module)


def test_on_a_trained_network_real_images_without_labels_bring_its_answers_back(digits):
    model = of_digits(digits.module)
    start = Reconstruct(images=64)(model, halved(model))
    images = torch.from_numpy(digits_files.normalised(digits_files.pictures()[0]))
    done = Distill(source=Given((images,)), steps=100)(model, start)
    before, after = (accuracy(each.module) for each in (start, done))
    assert after > max(before, 0.9)
    assert same(copy.deepcopy(digits.module), model.source.module)
