"""Blockwise: exact where a block can be, never further away, the same each time."""

from dataclasses import replace

import pytest
import torch
import zoo
from students import is_bare, same
from torch import nn
from traced_zoo import outputs, plan_without, random_plan, traced, traced_network, unchanged

from edgeprune.artifacts import PruningPlan
from edgeprune.errors import UsageError
from edgeprune.images.given import Given
from edgeprune.pruning import prune
from edgeprune.recovery.blockwise.blockwise import Blockwise
from edgeprune.recovery.context import RecoveryContext
from edgeprune.recovery.held_out import held_out_error
from edgeprune.recovery.layerwise.reconstruct import Reconstruct

IMAGES = torch.randn(40, 3, 16, 16, generator=torch.Generator().manual_seed(1))
REAL = Given((IMAGES,), "of a camera")
SHORT = Blockwise(images=40, steps=6)
BOTH = {"procedural": SHORT, "real": replace(SHORT, source=REAL)}
WHOLE = PruningPlan((), "0" * 64, {})
NOT_THE_SAME_STEPS = "channel-shuffle"  # a reshape of the pruned network needs no copy


def cut(name):
    return prune(traced(name), random_plan(traced(name), 6, most=0.8))


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("name", sorted(set(zoo.NETWORKS) - {"no-norm"}))
def test_every_coupling_is_trained_and_none_ends_further_away(name, kind):
    model, pruned, method = traced(name), cut(name), BOTH[kind]
    with unchanged(model.source.module), unchanged(pruned.module):
        done = method(model, pruned)
    assert is_bare(done.module)
    assert all(output.isfinite().all() for output in outputs(done.module, IMAGES))
    flags = [each.requires_grad for each in pruned.module.parameters()]
    assert [each.requires_grad for each in done.module.parameters()] == flags
    note = done.recovered_by[-1].notes[0]
    if name == NOT_THE_SAME_STEPS:
        assert "original's steps" in note.values["text"]
        return
    assert note.kind == "blocks-trained"
    assert note.values["trained"] > 0
    validation = [each[:4] for each in method.source(model.source, 40, 0)]
    before, after = (
        held_out_error(model, each, validation, synthetic=kind == "procedural")
        for each in (pruned, done)
    )
    assert after <= before


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("name", ["chain", "residual", "concat", "two-outputs", "group-norm"])
def test_where_nothing_was_removed_nothing_changes(name, kind):
    pruned = prune(traced(name), WHOLE)
    done = BOTH[kind](traced(name), pruned)
    for wanted, found in zip(*(outputs(m.module, IMAGES) for m in (pruned, done)), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_what_only_the_block_can_make_up_for_it_does():
    """Two channels with one and the same pointwise filter before and behind, but two depthwise
    ones: without the second the first has to become their sum, which is no layer's own target."""
    network = nn.Sequential(
        nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 3, padding=1, groups=2), nn.Conv2d(2, 6, 1)
    )
    with torch.no_grad():
        for weight in (network[0].weight, network[0].bias):
            weight[1] = weight[0]
        network[2].weight[:, 1] = network[2].weight[:, 0]
    model = traced_network(network)
    pruned = prune(model, plan_without(model, "0", {1}))
    errors = [
        held_out_error(model, method(model, pruned), [IMAGES[:4]], synthetic=False)
        for method in (Reconstruct(REAL, 36), Blockwise(REAL, 40, steps=400, learning_rate=0.03))
    ]
    assert errors[0] > 0.1
    assert errors[1] < 1e-3 * errors[0]


def test_the_seed_decides_bit_by_bit():
    first, again, other = (
        SHORT(traced("residual"), cut("residual"), RecoveryContext(seed=seed)) for seed in (1, 1, 2)
    )
    assert same(first.module, again.module)
    assert not same(first.module, other.module)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_interrupted_and_resumed_it_ends_as_if_it_had_not_been(share, tmp_path):
    def interrupt(done, text):
        if done > share:
            raise KeyboardInterrupt

    method = replace(SHORT, convolutions=1)
    whole = method(traced("residual"), cut("residual"))
    context = RecoveryContext(workspace=tmp_path / "work")
    with pytest.raises(KeyboardInterrupt):
        method(traced("residual"), cut("residual"), replace(context, progress=interrupt))
    assert list((tmp_path / "work").iterdir())
    resumed = method(traced("residual"), cut("residual"), context)
    assert same(whole.module, resumed.module)


def test_a_time_limit_ends_it():
    ticks = iter(range(10**6))
    context = RecoveryContext(seconds=60, clock=lambda: float(next(ticks)))
    done = Blockwise(images=40)(traced("residual"), cut("residual"), context)
    assert 0 < done.recovered_by[-1].notes[0].values["steps"] < 60


def test_without_batch_norm_procedural_images_are_refused_and_real_ones_taken():
    with pytest.raises(UsageError, match="pass --images"):
        SHORT(traced("no-norm"), cut("no-norm"))
    done = BOTH["real"](traced("no-norm"), cut("no-norm"))
    assert done.recovered_by[-1].notes[0].values["trained"] > 0


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_few_images_will_do(count):
    few = Blockwise(source=Given((IMAGES[:count],)), steps=2)
    assert outputs(few(traced("chain"), cut("chain")).module, IMAGES)[0].isfinite().all()


def test_layers_that_share_a_weight_are_left_alone():
    network = nn.Sequential(*zoo.conv_bn(3, 8), nn.Conv2d(8, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1))
    network[5].weight = network[3].weight
    network.append(zoo.head(8))
    model = traced_network(zoo.calibrated(network, IMAGES))
    pruned = prune(model, WHOLE)
    with torch.no_grad():
        pruned.module[0].weight.mul_(0.5)
    done = Blockwise(source=REAL, steps=3, layerwise=False)(model, pruned)
    assert torch.equal(done.module[3].weight, pruned.module[3].weight)
    assert done.module[5].weight is done.module[3].weight
