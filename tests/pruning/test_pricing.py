"""The cost model: what it says of any widths is what the pruned network costs."""

import numpy as np
import pytest
import zoo
from torch import nn
from traced_zoo import random_plan, source_of, traced, traced_network

from edgeprune.costs import count
from edgeprune.pruning import cost_model
from edgeprune.pruning.surgery import remove_channels
from edgeprune.tracing import trace


def widths_of(model, plan):
    """Widths under a plan, in the order of the cost model's groups."""
    kept = {entry.group: len(entry.kept) for entry in plan.groups}
    return np.array([kept.get(group.name, group.width) for group in model.prunable], float)


def models_costs(model):
    return cost_model(model, count(model.source.module, model.source.input))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_the_model_prices_any_widths_exactly(name, seed):
    model = traced(name)
    plan = random_plan(model, seed)
    costs, widths = models_costs(model), widths_of(model, plan)
    real = count(remove_channels(model, plan), model.source.input)
    assert float(costs.at("macs", widths)) == pytest.approx(real.macs, rel=1e-12)
    assert float(costs.at("params", widths)) == pytest.approx(real.params, rel=1e-12)


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_full_widths_cost_what_the_original_does(name):
    model = traced(name)
    costs, real = models_costs(model), count(model.source.module, model.source.input)
    assert costs.original("macs") == real.macs
    assert costs.original("params") == real.params
    assert costs.original("channels") == sum(group.width for group in model.prunable)


def test_many_widths_are_priced_at_once():
    model = traced("residual")
    costs = models_costs(model)
    many = np.stack([widths_of(model, random_plan(model, seed)) for seed in range(5)])
    for price in costs.prices.values():
        np.testing.assert_allclose(price(many), [price(row) for row in many])


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (lambda: nn.Sequential(nn.Linear(10, 24), nn.ReLU(), nn.Linear(24, 5)), (1, 10)),
        (
            lambda: nn.Sequential(
                nn.Conv1d(3, 16, 3), nn.BatchNorm1d(16), nn.ReLU(), nn.Flatten(), nn.Linear(96, 4)
            ),
            (1, 3, 8),
        ),
        (
            lambda: nn.Sequential(
                nn.Conv2d(3, 16, 3), nn.InstanceNorm2d(16, affine=True), nn.ConvTranspose2d(
                    16, 8, 4, 2, bias=False
                ), nn.BatchNorm2d(8, affine=False), nn.ReLU(), nn.Conv2d(8, 2, 1),
            ),
            (1, 3, 8, 8),
        ),
        (
            lambda: nn.Sequential(
                *zoo.conv_bn(3, 64), nn.Conv2d(64, 32, 3, groups=32), *zoo.conv_bn(32, 16),
                *zoo.head(16),
            ),
            (1, 3, 8, 8),
        ),
        (
            lambda: nn.Sequential(
                *zoo.conv_bn(3, 16), nn.Conv2d(16, 48, 3, groups=16), *zoo.conv_bn(48, 8),
                *zoo.head(8),
            ),
            (1, 3, 8, 8),
        ),
    ],
    ids=["perceptron", "one dimension", "transposed", "one output a group", "multiplied"],
)  # fmt: skip
@pytest.mark.parametrize("seed", range(3))
def test_other_kinds_of_layers_are_priced_exactly(network, shape, seed):
    model = traced_network(network(), shape)
    plan = random_plan(model, seed)
    assert model.prunable
    costs = models_costs(model)
    real = count(remove_channels(model, plan), model.source.input)
    widths = widths_of(model, plan)
    assert float(costs.at("macs", widths)) == pytest.approx(real.macs, rel=1e-12)
    assert float(costs.at("params", widths)) == pytest.approx(real.params, rel=1e-12)


def test_with_everything_locked_nothing_varies():
    source = source_of(zoo.build("chain"))
    model = trace(source, keep=["*"])
    costs = models_costs(model)
    assert costs.groups == ()
    assert costs.original("macs") == count(source.module, source.input).macs
