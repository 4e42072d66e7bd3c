"""The kinds of checkpoints that are known, and the one that a network is of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgeprune.errors import UsageError
from edgeprune.loading.checkpoint_kind import Adapted
from edgeprune.loading.torchvision_detector import TorchvisionDetector
from edgeprune.loading.ultralytics_checkpoint import UltralyticsCheckpoint

if TYPE_CHECKING:
    from torch import nn

    from edgeprune.loading.checkpoint_kind import CheckpointKind, Shapes


def adapted(
    network: nn.Module, checkpoint: object = None, shapes: Shapes = (), *, raw_head: bool = False
) -> Adapted:
    """A network as its library exports it; as it is, if it is of no known kind.

    Args:
        network: The network; changed in place.
        checkpoint: What its file holds; None if it came from memory.
        shapes: Shapes of the inputs that the user gave; empty: what the library says.
        raw_head: Give what the last layers say, before it is decoded.

    Raises:
        UsageError: A raw head is asked for, and no kind knows the network's head.
    """
    beside = checkpoint if isinstance(checkpoint, Mapping) else {}
    for kind in KINDS:
        if kind.recognises(network):
            return kind.adapted(network, beside, shapes, raw_head=raw_head)
    if raw_head:
        raise UsageError(f"--raw-head: the head of a {type(network).__name__} is not known")
    return Adapted(network)


KINDS: tuple[CheckpointKind, ...] = (UltralyticsCheckpoint(), TorchvisionDetector())
