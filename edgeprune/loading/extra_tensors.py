"""Tensors of a file that a network has no place for: the training's own, or another network's?

A loss's weights, observers, profilers' counters and an auxiliary head can be left out. A layer
beside the network's layers cannot: the file is then of a deeper network, and the result would be
wrong although every name of the network was found.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

OF_TRAINING = re.compile(
    r"observer|fake_quant|activation_post_process|criterion|loss|metric|optim|teacher"
)
"""In a part of a name: it is of the training, wherever it stands."""

COUNTERS = {"num_batches_tracked", "n_averaged", "total_ops", "total_params", "_extra_state"}
"""Last parts of names that inference does not read."""


def can_be_left(name: str, network: nn.Module) -> bool:
    """Whether a tensor that the network has no place for is of no use to inference.

    Args:
        name: Dotted name of the tensor.
        network: The network that the other tensors fit.

    Returns:
        True for the training's own tensors, and for whole modules beside the network's; False for
        a layer, or a tensor of a layer, that the network lacks within itself.
    """
    parts = name.split(".")
    if is_counter(name) or any(OF_TRAINING.search(part.lower()) for part in parts):
        return True
    known = {*network._modules, *network._parameters, *network._buffers}
    stem = _stem(parts[0])
    beside = parts[0] not in known and stem != "" and stem not in map(_stem, known)
    return beside and bool(network._modules)


def is_counter(name: str) -> bool:
    """Whether a tensor counts batches, models or operations, which inference does not read."""
    return name.rpartition(".")[2] in COUNTERS


def _stem(part: str) -> str:
    """A name without its number: "layer" for "layer4", nothing for "4"."""
    return part.rstrip("0123456789")
