"""Which layers of the blocks may be trained.

Only layers that run once and share no parameter: others serve several places, of which a block is
one. On images that are not real, moreover, nothing is at the level of real ones but what a
BatchNorm behind it normalises: of each block the layers behind its last BatchNorm stay as they are.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from edgeprune.graph.batch_norms import batch_norms
from edgeprune.graph.shared_parameters import sharing
from edgeprune.program.form import LayerCall

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune.program.network import RecordedNetwork
    from edgeprune.recovery.blockwise.blocks import Block


def trainable_layers(
    network: RecordedNetwork, blocks: Sequence[Block], *, synthetic: bool
) -> set[str]:
    """Names of the layers that may be trained.

    Args:
        network: The pruned network, recorded.
        blocks: Its blocks.
        synthetic: Whether images are procedural or synthesized.
    """
    steps = network.program.steps
    calls = Counter(step.layer for step in steps if isinstance(step, LayerCall))
    found = {layer for layer, count in calls.items() if count == 1}
    shared = tuple(sharing(network))
    found = {layer for layer in found if not _has(layer, shared)}
    if not synthetic:
        return found
    norms = batch_norms(network).keys()
    normed: set[str] = set()
    for block in blocks:
        places = [place for place, layer in enumerate(block.layers) if layer in norms]
        normed |= set(block.layers[: places[-1] + 1] if places else ())
    return found & normed


def _has(layer: str, modules: tuple[str, ...]) -> bool:
    """Whether one of the modules is the layer, or part of it."""
    return any(each == layer or each.startswith(f"{layer}.") for each in modules)
