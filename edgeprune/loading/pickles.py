"""A .pt or .pth file → the object in it, made of allowed classes only, with no call.

torch_files.py      the two formats: where program and numbers lie, and that they are whole
pickle_machine.py   runs the program, which can make plain values alone
pickled_objects.py  what it may ask for besides
refused_names.py    what it asked for and does not get, in words
stored_tensors.py   tensors, no larger than what the file holds for them
"""

from __future__ import annotations

import pathlib
import zipfile
from typing import TYPE_CHECKING

import torch

from edgeprune.blueprint.allowed import import_file, searching
from edgeprune.errors import EdgepruneError, ModelRefused, failing_as, first_line
from edgeprune.loading.pickle_machine import BadPickle
from edgeprune.loading.pickled_objects import TorchObjects
from edgeprune.loading.refused_names import RefusedNames
from edgeprune.loading.stored_tensors import Shown
from edgeprune.loading.torch_files import check_all, load_archive, load_older

if TYPE_CHECKING:
    from pathlib import Path

    from edgeprune.blueprint import Allowed


def unpickle(path: Path, allowed: Allowed, *, trust: bool = False) -> object:
    """Load a file of ``torch.save``, on the CPU.

    Args:
        path: The file.
        allowed: Modules whose classes the file may name.
        trust: Run any code that the file asks for.

    Returns:
        The object in the file.

    Raises:
        ModelRefused: The file names something else, is damaged, or is no torch file.
        ModelUnsupported: It holds tensors that no network here can use.
    """
    with failing_as(ModelRefused, f"'{path}' is damaged"):
        zipped = zipfile.is_zipfile(path)
    if trust:
        return _trusted(path, allowed, zipped=zipped)
    refused = RefusedNames(allowed)
    shown = Shown(path.stat().st_size)
    try:
        try:
            with failing_as(BadPickle):
                return (load_archive if zipped else load_older)(
                    path, lambda storage: TorchObjects(allowed, shown, storage, refused)
                )
        finally:
            refused.require_none()
    except BadPickle as error:
        reason = first_line(error)
        raise ModelRefused(f"'{path}' is damaged or no PyTorch model file: {reason}") from error
    except EdgepruneError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"'{path}': {error}") from error


def _trusted(path: Path, allowed: Allowed, *, zipped: bool) -> object:
    if zipped:
        check_all(path)
    with searching(pathlib.Path.cwd(), first=False):
        for file in allowed.files():
            import_file(file)
        with failing_as(ModelRefused, f"cannot load '{path}'"):
            return torch.load(path, map_location="cpu", weights_only=False)
