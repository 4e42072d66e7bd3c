"""PrunedModel → compressed.safetensors: architecture, weights, plan and input in one file.

The file needs neither pickle nor the original network: ``edgeprune.load`` gives the module back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edgeprune import blueprint
from edgeprune.deep_stack import with_room

if TYPE_CHECKING:
    from pathlib import Path

    from edgeprune.artifacts import PrunedModel


@with_room
def save_weights(pruned: PrunedModel, path: Path) -> None:
    """Write the network so that it can be loaded again without running code from the file.

    Args:
        pruned: The pruned network with its plan; not changed.
        path: The ``.safetensors`` file; it appears whole or not at all.

    Raises:
        ModelUnsupported: An attribute of a module has no JSON form; the message names it.
    """
    notes = {
        "plan": msgspec.json.encode(pruned.plan).decode(),
        "input": msgspec.json.encode(pruned.input).decode(),
    }
    blueprint.write(pruned.module, path, notes)
