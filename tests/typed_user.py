"""A user's script, read by mypy --strict with the package: results have the types they say."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import assert_type

import edgeprune as ep


def compressed(network: nn.Module, photo: Tensor) -> nn.Module:
    """All in one call."""
    report = ep.compress(network, photo, macs=0.5, recover=["analytic"], bench=False)
    assert_type(report, ep.CompressionReport)
    report.save("runs/mine")
    return report.compressed.module


def stage_by_stage(network: nn.Module) -> float:
    """The same, one stage after the other."""
    source = ep.wrap(network, (1, 3, 32, 32))
    traced, costs = ep.survey(source)
    free = [group.width for group in traced.prunable]
    assert_type(free, list[int])
    planned = ep.plan(traced, costs, ep.Macs(0.5))
    pruned = ep.prune(traced, planned.plan)
    better = ep.recover(traced, pruned, [ep.Analytic()])
    assert_type(better.module, nn.Module)
    return pruned.surgery.max_rel_diff


def example() -> None:
    """Nothing runs here: mypy reads it."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    compressed(network, torch.randn(1, 3, 32, 32))
