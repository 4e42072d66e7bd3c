"""Networks with dead channels, no variance, extreme weights: right numbers, or a named refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import zoo
from torch import Tensor, nn

import edgeprune as ep
from edgeprune.errors import EdgepruneError, ModelUnsupported
from edgeprune.recovery import METHODS

if TYPE_CHECKING:
    from collections.abc import Callable

TINY, HUGE = 1e-38, 1e38
METHODS_TRIED = ("none", "nm", "lbyl", "statistics", "analytic", "reconstruct")


def norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)]


def weights(network: nn.Module) -> list[Tensor]:
    kinds = nn.Conv2d | nn.Linear
    return [each.weight for each in network.modules() if isinstance(each, kinds)]


DEGENERATE: dict[str, Callable[[nn.Module], object]] = {
    "every scale 0": lambda net: [norm.weight.zero_() for norm in norms(net)],
    "half of the scales 0": lambda net: [norm.weight[::2].zero_() for norm in norms(net)],
    "dead filters": lambda net: [w[: len(w) // 2].zero_() for w in weights(net)[:-1]],
    "no filter alive": lambda net: [w.zero_() for w in weights(net)[:-1]],
    "no variance": lambda net: [norm.running_var.zero_() for norm in norms(net)],
    "tiny variance": lambda net: [norm.running_var.fill_(TINY) for norm in norms(net)],
    "huge variance": lambda net: [norm.running_var.fill_(HUGE) for norm in norms(net)],
    "huge mean": lambda net: [norm.running_mean.fill_(1e30) for norm in norms(net)],
    "weights near the limit": lambda net: weights(net)[0].mul_(HUGE),
    "large weights": lambda net: [w.mul_(1e20) for w in weights(net)],
    "small weights": lambda net: [w.mul_(1e-20) for w in weights(net)],
    "all equal": lambda net: [w.fill_(0.1) for w in weights(net)],
    "the same filter everywhere": lambda net: [w.copy_(w[:1].expand_as(w)) for w in weights(net)],
    "nothing passes": lambda net: [norm.bias.fill_(-100) for norm in norms(net)],
}


def degenerate(how: str) -> nn.Module:
    network = zoo.build("chain")
    with torch.no_grad():
        DEGENERATE[how](network)
    return network


@pytest.mark.parametrize("how", DEGENERATE)
def test_the_result_is_finite_wherever_the_original_is(how: str) -> None:
    network = degenerate(how)
    x = torch.randn(4, *zoo.INPUT_SHAPE[1:])
    for method in METHODS_TRIED:
        steps = () if method == "none" else (METHODS[method](),)
        settings = ep.CompressConfig(budget=ep.Macs(0.6), recover=steps, bench=None, target=None)
        try:
            compressed = ep.compress(network, zoo.INPUT_SHAPE, settings).compressed.module
        except EdgepruneError as refusal:
            assert len(str(refusal).splitlines()) <= 2  # noqa: PT017 - either is right
            continue
        for tensor in compressed.state_dict().values():
            assert torch.isfinite(tensor).all(), method
        with torch.no_grad():
            if torch.isfinite(network(x)).all():
                assert torch.isfinite(compressed(x)).all(), method


@pytest.mark.parametrize(
    ("field", "value", "eps", "what"),
    [
        ("running_var", -1e-7, 1e-5, "below 0"),
        ("running_var", float("inf"), 1e-5, "infinite running variance"),
        ("running_var", 0.0, 0.0, "of 0 and nothing"),
        ("running_mean", float("-inf"), 1e-5, "infinite running mean"),
        ("running_mean", float("nan"), 1e-5, "NaN"),
    ],
)
def test_statistics_that_no_training_leaves_are_named(
    field: str, value: float, eps: float, what: str
) -> None:
    network = zoo.build("chain")
    norm = norms(network)[1]
    norm.eps = eps
    getattr(norm, field)[3] = value
    with pytest.raises(ModelUnsupported, match=rf"'1\.1.*{what}"):
        ep.wrap(network, zoo.INPUT_SHAPE)
