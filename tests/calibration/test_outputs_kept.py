"""The share of outputs that a compressed network keeps: laws, and numbers worked out by hand."""

from __future__ import annotations

import copy

import pytest
import torch
import zoo
from torch import Tensor, nn

from edgeprune.calibration.outputs_kept import outputs_kept

INPUTS = (torch.randn(40, 3, 16, 16, generator=torch.Generator().manual_seed(0)),)


class Scaled(nn.Module):
    """A mean over pixels, less or more of it, for each of several outputs."""

    def __init__(self, *gains: float) -> None:
        super().__init__()
        self.gains = gains

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(gain * x.mean((2, 3)) for gain in self.gains)


def share(original: nn.Module, compressed: nn.Module) -> float:
    found = outputs_kept(original, compressed, INPUTS)
    assert found is not None
    assert found.n == 40
    return found.share


@pytest.mark.parametrize("name", ["chain", "residual"])
def test_a_network_keeps_all_of_itself(name: str) -> None:
    network = zoo.build(name)
    assert share(network, copy.deepcopy(network)) == 1


@pytest.mark.parametrize(
    ("gain", "kept"), [(1.0, 1.0), (0.9, 0.99), (0.5, 0.75), (0.0, 0.0), (-1.0, 0.0), (3.0, 0.0)]
)
def test_what_an_output_that_shrinks_keeps_is_known(gain: float, kept: float) -> None:
    inputs = INPUTS[0] - INPUTS[0].mean((0, 2, 3), keepdim=True)
    found = outputs_kept(Scaled(1.0), Scaled(gain), (inputs,))
    assert found is not None
    assert found.share == pytest.approx(kept, abs=1e-6)


def test_one_answer_to_everything_keeps_nothing() -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3)).mean(0).expand(len(x), -1)

    found = outputs_kept(Scaled(1.0), Constant(), (INPUTS[0][:32],))
    assert found is not None
    assert found.share == pytest.approx(0, abs=1e-9)


def test_outputs_count_alike_and_those_that_never_move_not_at_all() -> None:
    inputs = INPUTS[0] - INPUTS[0].mean((0, 2, 3), keepdim=True)
    found = outputs_kept(Scaled(1.0, 100.0, 0.0), Scaled(1.0, 50.0, 0.0), (inputs,))
    assert found is not None
    assert found.share == pytest.approx((1 + 0.75) / 2, abs=1e-6)


def test_numbers_that_are_none_keep_nothing() -> None:
    assert share(Scaled(1.0), Scaled(float("nan"))) == 0


def test_statistics_that_do_not_fit_the_images_do_not_count() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))
    shifted = copy.deepcopy(network)
    shifted[1].running_mean += 1
    shifted[1].running_var *= 4
    assert share(network.eval(), shifted.eval()) == pytest.approx(1)
    assert int(shifted[1].num_batches_tracked) == 0


class Picks(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)).argmax(1)


class One(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(1, 3, 16, 16).mean((2, 3))


@pytest.mark.parametrize("network", [Picks(), One(), Scaled(0.0)])
def test_where_it_cannot_be_told_nothing_is_said(network: nn.Module) -> None:
    assert outputs_kept(network, network, INPUTS) is None
