"""The twin: the same network, with every layer at its real level on images that are not real.

Synthetic images drift from what a network has seen in training, layer by layer: ranges that are
read off them are too narrow in one layer and too wide in the next. So the twin is calibrated in the
network's place: its BatchNorms hold the statistics of the synthetic images themselves. Behind each
of them every channel then has mean β and standard deviation |γ|, as it has in the network on real
images; only the shape of the distributions is the synthetic images' own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgeprune.graph.batch_norms import batch_norms
from edgeprune.graph.light_copy import light_copy

if TYPE_CHECKING:
    from collections.abc import Sequence

BATCH = 32
"""Images whose statistics are taken at once."""

DEAD = 1e-3
"""A channel whose variance is below this share of the stored one hardly moves on the images: its
few outliers would be blown up to a range that no image fills, so it keeps that much of a spread."""


def make_twin(network: nn.Module, inputs: Sequence[Tensor]) -> nn.Module:
    """Copy a network, with BatchNorm statistics re-estimated on inputs.

    Args:
        network: The network, in eval mode; not changed.
        inputs: One tensor (N, …) for each input; N at least 2.

    Returns:
        The twin, in eval mode, on the CPU. Without BatchNorms it computes what ``network`` does.
    """
    twin = light_copy(network).cpu().eval()
    norms = batch_norms(twin)
    stored = {name: _variance(norm).clone() for name, norm in norms.items()}
    momenta = {name: norm.momentum for name, norm in norms.items()}
    for norm in norms.values():
        norm.reset_running_stats()
        norm.momentum = None  # the mean over batches
        norm.train()
    with torch.no_grad():
        for batch in zip(*(torch.split(each, BATCH) for each in inputs), strict=True):
            if len(batch[0]) > 1:  # the statistics of a single vector are none
                twin(*batch)
    for name, norm in norms.items():
        norm.momentum = momenta[name]
        norm.eval()
        if int(norm.get_buffer("num_batches_tracked")):
            _variance(norm).copy_(torch.maximum(_variance(norm), DEAD * stored[name]))
    return twin


def _variance(norm: nn.Module) -> Tensor:
    return norm.get_buffer("running_var")
