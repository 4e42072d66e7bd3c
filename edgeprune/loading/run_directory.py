"""Read edgeprune's own files: a run directory, or the compressed.safetensors in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgeprune import blueprint
from edgeprune.artifacts import InputSpec
from edgeprune.errors import ModelRefused, UsageError

if TYPE_CHECKING:
    from torch import nn

WEIGHTS = "compressed.safetensors"


def load_run(path: str | Path, allow: tuple[str, ...] = ()) -> nn.Module:
    """The compressed network of a run, on the CPU.

    Args:
        path: The run directory, or the ``.safetensors`` file.
        allow: Modules, or Python files, that define the network's own classes.

    Raises:
        UsageError: There is no such path.
        ModelRefused: The file is damaged, or names a class that is not allowed.
    """
    return blueprint.read(weights_file(path)).network(blueprint.Allowed(tuple(allow)))


def weights_file(path: str | Path) -> Path:
    """The file in a run directory, or the file itself.

    Raises:
        UsageError: There is no such file.
    """
    file = Path(path) / WEIGHTS if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise UsageError(f"there is no file '{file}'")
    return file


def stored_input(run: blueprint.StoredNetwork, file: Path) -> InputSpec:
    """Inputs of the network that was read from a compressed.safetensors.

    Raises:
        ModelRefused: The description of the input is missing or damaged.
    """
    try:
        return msgspec.json.decode(run.notes["input"], type=InputSpec)
    except (KeyError, msgspec.MsgspecError) as error:
        raise ModelRefused(f"'{file}' does not say what its network takes: {error!r}") from error
