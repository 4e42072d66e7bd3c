"""The zoo's networks traced, and random plans for them: what tests of the stages start from."""

from __future__ import annotations

import copy
import functools
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import zoo
from torch import Tensor, nn

from edgeprune.artifacts import InputSpec, KeptChannels, PruningPlan, SourceModel, TracedModel
from edgeprune.pruning import lock_failing
from edgeprune.tracing import trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Calls(nn.Module):
    """A network that is one function, with parts."""

    def __init__(self, function: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(self, *inputs)


def source_of(module: nn.Module, *shapes: tuple[int, ...]) -> SourceModel:
    """A network in eval mode as the loader would hand it over."""
    return SourceModel(module.eval(), InputSpec(shapes or (zoo.INPUT_SHAPE,)), "network", "0" * 64)


def traced_network(module: nn.Module, *shapes: tuple[int, ...]) -> TracedModel:
    """A network's groups, those locked whose surgery fails."""
    return lock_failing(trace(source_of(module, *shapes)))


@functools.cache
def traced(name: str) -> TracedModel:
    """A network of the zoo; shared between tests, which must not change it."""
    return traced_network(zoo.build(name))


def random_plan(model: TracedModel, seed: int, *, most: float = 1.0) -> PruningPlan:
    """Random channels of every prunable group, the same positions in every block.

    Args:
        model: The network with its groups.
        seed: Of the draw.
        most: Largest share of any group that may stay.
    """
    draw = random.Random(seed)
    entries = []
    for group in model.prunable:
        block = group.width // group.partitions
        stay = set(draw.sample(range(block), draw.randint(1, max(1, int(most * block)))))
        kept = tuple(index for index in range(group.width) if index % block in stay)
        if len(kept) < group.width:
            entries.append(KeptChannels(group.name, group.width, kept))
    return PruningPlan(tuple(entries), "0" * 64, {})


def plan_without(model: TracedModel, group: str, removed: set[int]) -> PruningPlan:
    """A plan that takes ``removed`` channels from one group."""
    width = next(g.width for g in model.groups if g.name == group)
    kept = tuple(index for index in range(width) if index not in removed)
    return PruningPlan((KeptChannels(group, width, kept),), "0" * 64, {})


@contextmanager
def unchanged(module: nn.Module) -> Iterator[None]:
    """Assert that weights, modes, gradient flags and gradients are afterwards what they were."""

    def look() -> tuple[object, ...]:
        return (
            {name: part.training for name, part in module.named_modules()},
            {name: (p.requires_grad, p.grad is None) for name, p in module.named_parameters()},
        )

    before, weights = look(), copy.deepcopy(module.state_dict())
    yield
    assert look() == before
    after = module.state_dict()
    assert list(after) == list(weights)
    assert all(torch.equal(after[name], weights[name]) for name in weights)


@torch.no_grad()
def outputs(module: nn.Module, inputs: Tensor) -> list[Tensor]:
    """All outputs of a network of the zoo."""
    returned = module(inputs)
    return list(returned.values()) if isinstance(returned, dict) else [returned]
