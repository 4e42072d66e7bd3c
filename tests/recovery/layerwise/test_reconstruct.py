"""Reconstruct: exact where that is possible, harmless where there is nothing to mend."""

import digits as digits_files
import pytest
import torch
import zoo
from doubled_channels import distance, doubles, give_doubles
from students import accuracy, halved, of_digits, same
from torch import nn
from traced_zoo import (
    Calls,
    outputs,
    plan_without,
    random_plan,
    source_of,
    traced,
    traced_network,
    unchanged,
)

from edgeprune.artifacts import InputSpec, PruningPlan
from edgeprune.images.given import Given
from edgeprune.pruning import prune
from edgeprune.recovery.closed_form.analytic import Analytic
from edgeprune.recovery.context import RecoveryContext
from edgeprune.recovery.layerwise.reconstruct import Reconstruct, enough
from edgeprune.tracing import trace

IMAGES = torch.randn(32, 3, 16, 16, generator=torch.Generator().manual_seed(1))
REAL = Given((IMAGES,), "of a camera")
BOTH = {"procedural": Reconstruct(images=8), "real": Reconstruct(source=REAL)}


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_every_coupling_is_fitted_and_nothing_given_changes(name, kind):
    model = traced(name)
    pruned = prune(model, random_plan(model, 6, most=0.8))
    with unchanged(model.source.module), unchanged(pruned.module):
        done = BOTH[kind](model, pruned)
    assert all(output.isfinite().all() for output in outputs(done.module, IMAGES))
    before, after = pruned.module.state_dict(), done.module.state_dict()
    for key in (key for key in before if "num_batches" in key):
        assert torch.equal(after[key], before[key])
    assert not any(part.training for part in done.module.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in done.module.modules())
    (step,) = done.recovered_by
    assert step.images == (8 if kind == "procedural" else 32)
    (note,) = step.notes
    assert note.kind == "fitted"
    assert note.values["images"] == step.images
    assert note.values["origin"] == BOTH[kind].source.origin


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_where_nothing_was_removed_nothing_changes(name, kind):
    model = traced(name)
    pruned = prune(model, PruningPlan((), "0" * 64, {}))
    done = BOTH[kind](model, pruned)
    assert same(done.module, pruned.module)
    assert done.recovered_by[-1].notes[0].values["layers"] == 0


@pytest.mark.parametrize("name", ["chain", "residual", "concat", "depthwise", "flatten", "no-norm"])
def test_lost_channels_that_are_linear_in_kept_ones_are_recovered_exactly(name):
    """On the images themselves, up to what counts as rounding; the analytic start alone is not."""
    network = zoo.build(name)
    group = traced(name).prunable[0]
    give_doubles(network, group)
    model = trace(source_of(network))
    pruned = prune(model, plan_without(model, group.name, {gone for _, gone in doubles(group)}))
    done = Reconstruct(source=REAL, ridge=1e-9)(model, pruned)
    start = Analytic()(model, pruned)
    assert distance(done.module, network, IMAGES) < 3e-4
    assert distance(done.module, network, IMAGES) < distance(start.module, network, IMAGES) / 2


@pytest.mark.parametrize("name", ["flatten", "two-outputs", "no-norm", "residual"])
def test_procedural_images_leave_layers_without_batch_norm_to_the_closed_form(name):
    model = traced(name)
    pruned = prune(model, random_plan(model, 6, most=0.8))
    start = Analytic()(model, pruned).module
    done = BOTH["procedural"](model, pruned).module
    real = BOTH["real"](model, pruned).module
    free = {
        "flatten": ["3", "5"],
        "two-outputs": ["mask", "label.2"],
        "no-norm": ["2", "4.2"],
        "residual": ["2.shortcut", "3.2"],
    }[name]
    for layer in free:
        found = start.get_submodule(layer)
        assert same(found, done.get_submodule(layer))
        assert not torch.equal(found.weight, real.get_submodule(layer).weight)


@pytest.mark.parametrize("kind", BOTH)
def test_the_seed_decides(kind):
    model = traced("chain")
    pruned = prune(model, random_plan(model, 6, most=0.8))

    def run(seed):
        source = REAL if kind == "real" else Reconstruct().source
        method = Reconstruct(source=source, images=32)
        return method(model, pruned, RecoveryContext(seed=seed)).module

    assert same(run(3), run(3))
    assert not same(run(3), run(4))


def test_layers_that_cannot_be_fitted_are_passed():
    network = Calls(
        lambda net, x: net.tied(net.two(net.one(x).relu()).relu()) + net.normalised(x),
        one=nn.Conv2d(3, 8, 1), two=nn.Conv2d(8, 6, 1), tied=nn.Conv2d(6, 6, 1),
        normalised=torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 6, 1)),
    )  # fmt: skip
    model = trace(source_of(network))
    pruned = prune(model, plan_without(model, "one", {1, 2}))
    done = BOTH["real"](model, pruned)
    assert done.recovered_by[-1].notes[0].values["layers"] == 2
    assert same(done.module.normalised, network.normalised)


def test_dead_channels_do_no_harm():
    network = nn.Sequential(*zoo.conv_bn(3, 8), *zoo.conv_bn(8, 6), nn.Conv2d(6, 2, 1))
    zoo.calibrated(network, IMAGES)
    with torch.no_grad():
        network[1].weight.zero_()
        network[1].bias.fill_(-1)
    model = traced_network(network)
    pruned = prune(model, plan_without(model, "0", {1, 5}))
    for method in BOTH.values():
        torch.testing.assert_close(method(model, pruned).module(IMAGES), network(IMAGES))


def test_progress_ends_with_the_whole():
    model, passed = traced("chain"), []
    pruned = prune(model, random_plan(model, 6, most=0.8))
    BOTH["procedural"](model, pruned, RecoveryContext(progress=lambda *given: passed.append(given)))
    shares = [share for share, _ in passed]
    assert shares == sorted(shares)
    assert shares[-1] == 1


@pytest.mark.parametrize(
    ("side", "images"), [(8, 256), (64, 256), (100, 104), (128, 64), (640, 64)]
)
def test_smaller_images_are_more(side, images):
    assert enough(InputSpec(((1, 5), (1, 3, side, side)))) == images


# --- a trained network ----------------------------------------------------------------------------


def test_on_a_trained_network_images_help_and_real_ones_more(digits):
    model = of_digits(digits.module)
    pruned = halved(model)
    real = torch.from_numpy(digits_files.normalised(digits_files.pictures()[0]))[:200]
    methods = (Reconstruct(images=64), Reconstruct(source=Given((real,))))
    none = accuracy(pruned.module)
    procedural, given = (accuracy(method(model, pruned).module) for method in methods)
    assert procedural >= none
    assert given >= max(none + 0.2, procedural, 0.85)
