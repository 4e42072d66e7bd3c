"""Networks cut in half, and how far they are from the original, for methods that train."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import digits as digits_files
import numpy as np
import torch
from torch import Tensor, nn

from edgeprune.artifacts import InputSpec, KeptChannels, PrunedModel, PruningPlan, SourceModel
from edgeprune.pruning import prune
from edgeprune.tracing import trace

if TYPE_CHECKING:
    from edgeprune.artifacts import TracedModel

DIGIT = InputSpec(((1, 1, 8, 8),), (digits_files.MEAN,), (digits_files.STD,))
TINY = (8, 8, 12, 12)
ENDS = {"4": 2, "10": 6}
"""The last BatchNorms at each resolution of the network for digits, and their weights times two:
1 + 1/2 and 1 + 2/2, over two ends."""


def of_digits(module: nn.Module) -> TracedModel:
    """A network that takes digits."""
    return trace(SourceModel(module.eval(), DIGIT, "digits", "0" * 64))


def tiny(seed: int = 0) -> TracedModel:
    """A small network that takes digits and has learnt nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = digits_files.network(TINY)
        network.train()(torch.randn(64, 1, 8, 8))
    return of_digits(network)


def halved(model: TracedModel, seed: int = 0) -> PrunedModel:
    """The network without half of each group, at random."""
    draw = torch.Generator().manual_seed(seed)
    entries = []
    for group in model.prunable:
        stay = torch.randperm(group.width, generator=draw)[: group.width // 2].sort().values
        entries.append(KeptChannels(group.name, group.width, tuple(stay.tolist())))
    return prune(model, PruningPlan(tuple(entries), "0" * 64, {}))


def feature_error(model: TracedModel, pruned: PrunedModel, images: Tensor) -> float:
    """The loss of the paper at the ends of a network for digits, by NumPy."""
    kept = {entry.group: list(entry.kept) for entry in pruned.plan.groups}
    total = 0.0
    wanted, found = (_features(each, images) for each in (model.source.module, pruned.module))
    for place, end in enumerate(ENDS, 1):
        channels = kept.get(str(int(end) - 1), slice(None))
        gap = np.abs(found[end] - wanted[end][:, channels])
        total += (1 + place / len(ENDS)) * float(gap.mean())
    return total / len(ENDS)


def _features(module: nn.Module, images: Tensor) -> dict[str, np.ndarray]:
    """What a network gives at the ends, each batch by its own statistics."""
    copied, found = copy.deepcopy(module).train(), {}
    for end in ENDS:
        copied.get_submodule(end).register_forward_hook(
            lambda *args, end=end: found.update({end: args[-1].detach().double().numpy()})
        )
    copied(images)
    return found


def accuracy(module: nn.Module) -> float:
    """Share of the digits to test with that a network names rightly."""
    return float(np.mean(digits_files.guesses(module) == digits_files.pictures()[3]))


def same(module: nn.Module, other: nn.Module) -> bool:
    """Bit by bit."""
    after = other.state_dict()
    return all(torch.equal(after[key], value) for key, value in module.state_dict().items())


def is_bare(module: nn.Module) -> bool:
    """No hooks, no layer with a forward of its own, nothing in training mode, no gradients."""
    return not any(
        part._forward_hooks or part._forward_pre_hooks or part.training or "forward" in vars(part)
        for part in module.modules()
    ) and all(weight.grad is None for weight in module.parameters())
