"""Blueprint and tensors in one .safetensors file: readable by any tool, and no pickle in it.

The architecture and the caller's notes are JSON texts in the file's metadata.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from edgeprune import tensor_file
from edgeprune.blueprint.modules import describe, rebuild
from edgeprune.errors import ModelRefused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from edgeprune.blueprint.allowed import Allowed
    from edgeprune.blueprint.values import Json

FORMAT = "edgeprune"
VERSION = "1"


@dataclass(frozen=True, slots=True)
class StoredNetwork:
    """Content of a stored network.

    Attributes:
        blueprint: Architecture as plain JSON.
        tensors: Weights, by key.
        notes: Texts that the writer added, by name.
    """

    blueprint: Mapping[str, Json]
    tensors: Mapping[str, Tensor]
    notes: Mapping[str, str]

    def network(self, allowed: Allowed) -> nn.Module:
        """The network itself.

        Raises:
            ModelRefused: The blueprint names a class that is not allowed.
        """
        return rebuild(self.blueprint, self.tensors, allowed)


def write(network: nn.Module, path: Path, notes: Mapping[str, str]) -> None:
    """Store a network; the file appears whole or not at all.

    Raises:
        ModelUnsupported: Something in the network has no JSON form.
    """
    blueprint, tensors = describe(network)
    # A copy each, as views of one storage are not allowed in the format.
    stored = {
        key: t.cpu().clone(memory_format=torch.contiguous_format) for key, t in tensors.items()
    }
    text = json.dumps(blueprint, allow_nan=False, separators=(",", ":"))
    metadata = {"format": "pt", FORMAT: VERSION, "blueprint": text, **notes}
    tensor_file.write(stored, metadata, path)


def is_stored_network(path: Path) -> bool:
    """Whether a .safetensors file holds a blueprint, not just weights.

    Raises:
        ModelRefused: The file cannot be read.
    """
    return FORMAT in tensor_file.texts_of(path)


def read(path: Path) -> StoredNetwork:
    """Read a file of ``write``.

    Raises:
        ModelRefused: The file is damaged, or of another version.
    """
    tensors, notes = tensor_file.read(path)
    if notes.get(FORMAT) != VERSION:
        raise ModelRefused(
            f"'{path}' is not a network that this version of edgeprune wrote: "
            f"format {notes.get(FORMAT)}, not {VERSION}"
        )
    try:
        blueprint = json.loads(notes["blueprint"])
    except (ValueError, KeyError, RecursionError) as error:
        raise ModelRefused(f"the blueprint in '{path}' is damaged: {error!r}") from error
    return StoredNetwork(blueprint, tensors, notes)
