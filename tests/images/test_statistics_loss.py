"""The statistics loss: zero on the stored statistics, and that of the set as a whole."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
import zoo
from synthesized import headless, loss_by_hand, original, seen_by
from torch import nn
from traced_zoo import source_of

from edgeprune import training
from edgeprune.errors import ModelUnsupported
from edgeprune.images.synthesis.statistics_loss import StatisticsLoss, own_norms

if TYPE_CHECKING:
    from torch import Tensor

    from edgeprune.artifacts import SourceModel

NAMES = ["chain", "residual", "concat", "grouped", "transposed", "two-outputs"]


def statistics_loss(model: SourceModel, **settings: float) -> StatisticsLoss:
    return StatisticsLoss(model.module, own_norms(model), training.join(), **settings)


def noise(count: int = 24) -> Tensor:
    return torch.randn(count, *zoo.INPUT_SHAPE[1:], generator=torch.Generator().manual_seed(3))


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_images_with_the_stored_statistics_lose_nothing(name: str) -> None:
    model, images = original(name)
    loss = statistics_loss(model)
    model.module(images)
    assert float(loss()) < 1e-6
    model.module(noise())
    assert float(loss()) > 1e-2


@torch.no_grad()
@pytest.mark.parametrize("first", [1.0, 10.0])
@pytest.mark.parametrize("name", ["chain", "residual", "depthwise"])
def test_the_loss_is_its_formula(name: str, first: float) -> None:
    model, _ = original(name)
    wanted = loss_by_hand(model.module, noise(), first)
    loss = statistics_loss(model, first=first)
    model.module(noise())
    assert float(loss()) == pytest.approx(wanted, rel=1e-4)


@torch.no_grad()
def test_it_does_not_depend_on_the_scale_of_the_features() -> None:
    model, _ = seen_by(headless())
    module = model.module
    before = loss_by_hand(module, noise())
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            part.weight *= 100
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean *= 100
            part.running_var *= 100**2
            part.eps *= 100**2
    loss = statistics_loss(model)
    module(noise())
    assert float(loss()) == pytest.approx(before, rel=1e-4)


@torch.no_grad()
def test_images_remembered_count_with_those_of_now() -> None:
    model, _ = original("residual")
    wanted = loss_by_hand(model.module, noise(24))
    loss = statistics_loss(model, memory=math.inf)
    for part in noise(24)[:16].split([4, 12]):
        model.module(part)
        loss.remember()
    model.module(noise(24)[16:])
    assert float(loss()) == pytest.approx(wanted, rel=1e-4)


@torch.no_grad()
def test_the_past_counts_no_more_than_its_memory() -> None:
    model, _ = original("chain")
    old, now = noise(16).chunk(2)
    wanted = loss_by_hand(model.module, noise(16))
    loss = statistics_loss(model, memory=1.0)
    for _ in range(5):
        model.module(old)
        loss.remember()
    model.module(now)
    assert float(loss()) == pytest.approx(wanted, rel=1e-4)


def test_norms_come_in_running_order() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.first = zoo.conv_bn(4, 4), zoo.conv_bn(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.first(x))

    assert own_norms(source_of(Backwards())) == ["first.1", "last.1"]


def test_norms_without_statistics_of_their_own_do_not_count() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own, self.twice, self.none = (nn.BatchNorm2d(3) for _ in range(3))
            self.tied = nn.BatchNorm2d(3)
            self.other = nn.BatchNorm2d(3)
            self.tied.weight = self.other.weight
            self.none = nn.BatchNorm2d(3, track_running_stats=False)

        def forward(self, x: Tensor) -> Tensor:
            x = self.own(self.twice(self.twice(x)))
            return self.none(self.tied(self.other(x)))

    assert own_norms(source_of(Mixed())) == ["own"]


@pytest.mark.parametrize("name", ["no-norm"])
def test_networks_that_stored_nothing_are_refused_with_a_way_out(name: str) -> None:
    with pytest.raises(ModelUnsupported, match=r"no BatchNorm.*dead-leaves"):
        own_norms(source_of(zoo.build(name)))
