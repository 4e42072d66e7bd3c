"""Absent channels: whatever mixes channels gives what it gives where they never were."""

import pytest
import torch
from torch.nn import functional as F

from edgeprune.pruning.absent_channels import ABSENT, STATISTICS, AbsentChannels

KEPT = [0, 2, 3, 5]
CHANNELS = 6


def whole_and_part():
    whole = torch.randn(2, CHANNELS, 3, 4, dtype=torch.float64)
    part = whole[:, KEPT]
    gone = [i for i in range(CHANNELS) if i not in KEPT]
    return whole.index_fill(1, torch.tensor(gone), ABSENT), part


OVER_CHANNELS = {
    "sum": lambda x: x.sum(1),
    "mean": lambda x: x.mean(1),
    "mean of everything": lambda x: x.mean(),
    "sum of everything": lambda x: x.sum(),
    "mean, kept": lambda x: x.mean((1, 2), keepdim=True),
    "variance": lambda x: x.var(1),
    "variance of the population": lambda x: x.var((1, 3), correction=0, keepdim=True),
    "deviation": lambda x: x.std(1),
    "variance and mean": lambda x: torch.cat(torch.var_mean(x, 1)),
    "deviation and mean": lambda x: torch.cat(torch.std_mean(x, (1, 2), keepdim=True)),
    "largest": lambda x: x.amax(1),
    "smallest": lambda x: x.amin((1, 2)),
    "largest, with an index": lambda x: x.max(1)[0],
    "smallest of everything": lambda x: x.min(),
    "norm": lambda x: x.norm(dim=1),
    "norm of everything": lambda x: x.norm(),
    "sum of magnitudes": lambda x: torch.linalg.vector_norm(x, 1, dim=(1, 3), keepdim=True),
    "largest magnitude": lambda x: torch.linalg.vector_norm(x, float("inf"), dim=1),
}

NORMALISED = {
    "layer norm": lambda x: F.layer_norm(x.movedim(1, -1), x.shape[1:2]).movedim(-1, 1),
    "layer norm of the map": lambda x: F.layer_norm(x, x.shape[1:]),
    "group norm": lambda x: F.group_norm(x, 2),
    "batch norm of rows": lambda x: F.batch_norm(
        x.flatten(2).transpose(0, 1).transpose(1, 2), None, None, training=True
    ).transpose(1, 2).transpose(0, 1).unflatten(2, x.shape[2:]),
}  # fmt: skip


@pytest.mark.parametrize("function", OVER_CHANNELS.values(), ids=OVER_CHANNELS)
def test_a_statistic_is_that_of_the_channels_that_are_there(function):
    whole, part = whole_and_part()
    with AbsentChannels(["here"]) as absent:
        found = function(whole)
    assert torch.allclose(found, function(part), atol=1e-14)
    assert list(absent.over_fewer) == ["here"]


@pytest.mark.parametrize("function", NORMALISED.values(), ids=NORMALISED)
def test_a_normalisation_leaves_absent_what_is_absent(function):
    whole, part = whole_and_part()
    with AbsentChannels(["here"]):
        found = function(whole)
    assert torch.allclose(found[:, KEPT], function(part), atol=1e-14)
    assert bool(found.isnan().flatten(2).all(2)[:, [1, 4]].all())


@pytest.mark.parametrize("weighted", [True, False])
def test_a_normalisation_of_absent_channels_keeps_its_weights(weighted):
    whole, part = whole_and_part()
    weight, bias = torch.randn(2, CHANNELS, dtype=torch.float64) if weighted else (None, None)
    with AbsentChannels(["here"]):
        found = F.group_norm(whole, 2, weight, bias)
    few = (each if each is None else each[KEPT] for each in (weight, bias))
    assert torch.allclose(found[:, KEPT], F.group_norm(part, 2, *few), atol=1e-14)


def test_what_sums_over_channels_adds_nothing_for_absent_ones():
    whole, part = whole_and_part()
    weight = torch.randn(5, CHANNELS, 3, 3, dtype=torch.float64)
    rows = torch.randn(5, CHANNELS, dtype=torch.float64)
    bias = torch.randn(5, dtype=torch.float64)
    with AbsentChannels(["here"]) as absent:
        convolved = F.conv2d(whole, weight, bias)
        product = F.linear(whole.movedim(1, -1), rows)
        with_bias = F.linear(whole.mean((2, 3)), rows, bias)
    assert torch.allclose(convolved, F.conv2d(part, weight[:, KEPT], bias), atol=1e-13)
    assert torch.allclose(product, F.linear(part.movedim(1, -1), rows[:, KEPT]), atol=1e-13)
    few = F.linear(part.mean((2, 3)), rows[:, KEPT], bias)
    assert torch.allclose(with_bias, few, atol=1e-13)
    assert not absent.over_fewer


def test_what_works_on_each_channel_alone_is_left_to_itself():
    whole, part = whole_and_part()
    filters = torch.randn(CHANNELS, 1, 3, 3, dtype=torch.float64)
    with AbsentChannels(["here"]) as absent:
        found = F.conv2d(whole, filters, groups=CHANNELS).mean((2, 3))
    alone = F.conv2d(part, filters[KEPT], groups=len(KEPT)).mean((2, 3))
    assert torch.allclose(found[:, KEPT], alone, atol=1e-14)
    assert bool(found[:, [1, 4]].isnan().all())
    assert not absent.over_fewer


def test_where_nothing_is_there_nothing_comes_of_it():
    whole, _ = whole_and_part()
    whole[1] = ABSENT
    with AbsentChannels(["here"]):
        results = [function(whole) for function in (
            lambda x: x.mean((1, 2, 3)), lambda x: x.sum((1, 2, 3)), lambda x: x.amax((1, 2, 3)),
            lambda x: x.flatten(1).norm(dim=1),
        )]  # fmt: skip
    for result in results:
        assert result.isnan().tolist() == [False, True]


def test_every_statistic_that_leaves_channels_free_is_known():
    from edgeprune.tracing.couplings.rules import RULES

    free = {name for name, rule in RULES.items() if "statistic" in rule.__qualname__}
    assert free
    assert free <= STATISTICS.keys()
