"""Held-out error: nothing for the network itself, everything for one that says nothing."""

import copy
from dataclasses import replace
from math import inf

import numpy as np
import pytest
import torch
import zoo
from torch import nn
from traced_zoo import Calls, outputs, random_plan, traced, traced_network, unchanged

from edgeprune.artifacts import PruningPlan
from edgeprune.graph.batch_norms import batch_norms
from edgeprune.images.procedural import DeadLeaves
from edgeprune.pruning import prune
from edgeprune.recovery.block_ends import block_ends
from edgeprune.recovery.held_out import held_out_error
from edgeprune.relative_error import relative_error
from edgeprune.training import normalise_by_batch

IMAGES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(2))
WHOLE = PruningPlan((), "0" * 64, {})


def by_numpy(wanted, actual):
    wanted, actual = wanted.double().numpy(), actual.double().numpy()
    return np.linalg.norm(actual - wanted) ** 2 / np.linalg.norm(wanted - wanted.mean(0)) ** 2


# --- the network ----------------------------------------------------------------------------------


@pytest.mark.parametrize("synthetic", [True, False])
@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_the_network_itself_has_no_error(name, synthetic):
    model = traced(name)
    images = DeadLeaves()(model.source, 6, 0) if synthetic else (IMAGES,)
    error = held_out_error(model, prune(model, WHOLE), images, synthetic=synthetic)
    assert error <= (1e-8 if synthetic else 0)


@pytest.mark.parametrize("synthetic", [True, False])
def test_a_batch_norm_that_runs_twice_is_no_error_either(synthetic):
    network = Calls(
        lambda net, x: net.norm(net.two(net.norm(net.one(x)).relu())).mean((2, 3)),
        one=nn.Conv2d(3, 8, 3), two=nn.Conv2d(8, 8, 3), norm=nn.BatchNorm2d(8),
    )  # fmt: skip
    model = traced_network(zoo.calibrated(network, IMAGES))
    pruned = prune(model, WHOLE)
    assert held_out_error(model, pruned, (5 * IMAGES + 1,), synthetic=synthetic) < 1e-8


def recorded(module, images, ends):
    """What a network gives at block ends, by layer."""
    found = {}
    hooks = [
        module.get_submodule(end.layer).register_forward_hook(
            lambda _, __, output, name=end.layer: found.__setitem__(name, output)
        )
        for end in ends
    ]
    with torch.no_grad():
        module(images)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_on_real_images_it_is_the_error_of_block_ends_and_outputs(name):
    model = traced(name)
    pruned = prune(model, random_plan(model, 6, most=0.8))
    with unchanged(model.source.module), unchanged(pruned.module):
        error = held_out_error(model, pruned, (IMAGES,), synthetic=False)
    ends = block_ends(model, pruned, normed=False)
    wanted, given = (recorded(each, IMAGES, ends) for each in (model.source.module, pruned.module))
    both = (outputs(each, IMAGES) for each in (model.source.module, pruned.module))
    expected = [by_numpy(*pair) for pair in zip(*both, strict=True)]
    for end in ends:
        whole = wanted[end.layer]
        last = isinstance(model.source.module.get_submodule(end.layer), nn.Linear | nn.LayerNorm)
        kept = whole if end.kept is None else whole.index_select(-1 if last else 1, end.kept)
        expected.append(by_numpy(kept, given[end.layer]))
    assert error == pytest.approx(np.mean(expected), rel=1e-4)


def test_without_block_ends_it_is_the_error_of_the_outputs():
    model = traced("no-norm")
    pruned = prune(model, random_plan(model, 6, most=0.8))
    error = held_out_error(model, pruned, (IMAGES,), synthetic=True)
    both = (outputs(each, IMAGES) for each in (model.source.module, pruned.module))
    expected = [by_numpy(*pair) for pair in zip(*both, strict=True)]
    assert error == pytest.approx(np.mean(expected), rel=1e-4)


def test_on_synthetic_images_statistics_that_are_wrong_count():
    model = traced("chain")
    pruned = prune(model, WHOLE)
    wrong = copy.deepcopy(pruned.module)
    wrong[1][1].running_mean += wrong[1][1].running_var.sqrt()
    error = held_out_error(model, replace(pruned, module=wrong), (IMAGES,), synthetic=True)
    assert error > 0.1


def test_on_synthetic_images_the_original_normalises_by_batch():
    """With BatchNorm in the last place only, its statistics are all that differs."""
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    model = traced_network(zoo.calibrated(network, IMAGES))
    pruned = prune(model, WHOLE)
    shifted = copy.deepcopy(pruned.module)
    shifted[1].running_mean += torch.tensor([0.1, 0.2, 0.3, 0.4])
    teacher = copy.deepcopy(model.source.module)
    normalise_by_batch(teacher, batch_norms(teacher))
    images = 3 * IMAGES + 1
    (wanted,) = outputs(teacher, images)
    std = (model.source.module[1].running_var + 1e-5).sqrt()
    moved = torch.tensor([0.1, 0.2, 0.3, 0.4]) * model.source.module[1].weight / std
    expected = by_numpy(wanted, wanted - moved[:, None, None].detach())
    error = held_out_error(model, replace(pruned, module=shifted), (images,), synthetic=True)
    assert error == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("value", [float("nan"), inf])
def test_outputs_that_are_not_finite_are_infinitely_wrong(value):
    model = traced("two-outputs")
    pruned = prune(model, WHOLE)
    spoilt = copy.deepcopy(pruned.module)
    with torch.no_grad():
        spoilt.mask.bias.fill_(value)
    assert held_out_error(model, replace(pruned, module=spoilt), (IMAGES,), synthetic=False) == inf


# --- the formula ----------------------------------------------------------------------------------


def pair():
    return torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0)).unbind(0)


def test_it_is_the_share_of_the_variation_that_is_missed():
    wanted, actual = pair()
    assert relative_error(wanted, actual) == pytest.approx(by_numpy(wanted, actual))
    assert relative_error(wanted, wanted) == 0
    assert relative_error(wanted, wanted.mean(0).expand_as(wanted)) == pytest.approx(1)


@pytest.mark.parametrize("factor", [-3.0, 1e-12, 1e15])
def test_scale_and_shift_of_the_outputs_do_not_matter(factor):
    wanted, actual = pair()
    error = relative_error(wanted, actual)
    assert relative_error(factor * wanted, factor * actual) == pytest.approx(error, rel=1e-4)
    assert relative_error(wanted + 8, actual + 8) == pytest.approx(error, rel=1e-4)


def test_outputs_that_never_vary_are_right_or_wrong():
    constant = torch.ones(5, 3)
    assert relative_error(constant, constant) == 0
    assert relative_error(constant, constant + 0.1) > 1e9


def test_one_input_alone_counts_as_it_is():
    (wanted, actual), size = (each[:1] for each in pair()), torch.linalg.vector_norm
    expected = float(size(actual - wanted) / size(wanted)) ** 2
    assert relative_error(wanted, actual) == pytest.approx(expected)


def test_whole_numbers_are_outputs_too():
    wanted, actual = (each.mul(10).long() for each in pair())
    assert relative_error(wanted, actual) == pytest.approx(by_numpy(wanted, actual))


@pytest.mark.parametrize("value", [float("nan"), inf, -inf])
def test_what_is_not_finite_is_infinitely_wrong(value):
    wanted, actual = pair()
    actual[2, 1, 0] = value
    assert relative_error(wanted, actual) == inf
    assert relative_error(actual, wanted) == inf
