"""Channels that have a double, and how far two networks are apart: closed forms must be exact."""

import torch
import zoo
from torch import nn
from traced_zoo import outputs

from edgeprune.parity import compare

IMAGES = torch.randn(4, *zoo.INPUT_SHAPE[1:], generator=torch.Generator().manual_seed(8))


def distance(module, other, images=IMAGES):
    """Largest relative difference of any output."""
    pairs = zip(outputs(other, images), outputs(module, images), strict=True)
    return max(compare(a.numpy(), b.numpy()).max_rel_diff for a, b in pairs)


def doubles(group):
    """Pairs (kept, removed), one in every partition."""
    size = group.width // group.partitions
    return [(start + 5, start + 2) for start in range(0, group.width, size)]


@torch.no_grad()
def give_doubles(module, group):
    """Make the removed channel of every pair the same as its kept one, in all that makes it.

    Where no BatchNorm keeps the channels alive, a bias does: a silent one proves nothing.
    """
    if not group.having("norm"):
        for member in group.having("producer"):
            module.get_submodule(member.layer).bias.add_(0.5)
    for member in group.members:
        if member.role == "consumer":
            continue
        owner = dict(module.named_modules()).get(member.layer)
        tensors = [module.get_parameter(member.layer)] if owner is None else [
            value for value in owner.state_dict(keep_vars=True).values() if value.dim()
        ]  # fmt: skip
        for kept, removed in doubles(group):
            (source,), (target,) = member.channels[kept], member.channels[removed]
            for value in tensors:
                rows = value
                if isinstance(owner, nn.ConvTranspose2d) and value.dim() > 1:
                    rows = value.transpose(0, 1)
                rows[target] = rows[source]
