"""A .pt or .pth file → the object in it, made of allowed classes only, with no call.

torch_files.py      the two formats: where program and numbers lie, and that they are whole
pickle_machine.py   runs the program, which can make plain values alone
pickled_objects.py  what it may ask for besides
stored_tensors.py   tensors, no larger than what the file holds for them
"""

from __future__ import annotations

import functools
import pathlib
import zipfile
from typing import TYPE_CHECKING

import torch

from edgeprune.blueprint.allowed import import_file, searching
from edgeprune.errors import EdgepruneError, ModelRefused, failing_as, first_line
from edgeprune.loading.pickle_machine import BadPickle
from edgeprune.loading.pickled_objects import TorchObjects
from edgeprune.loading.stored_tensors import Shown
from edgeprune.loading.torch_files import check_all, load_archive, load_older

if TYPE_CHECKING:
    from pathlib import Path

    from edgeprune.blueprint import Allowed

DANGEROUS = ("builtins", "os", "posix", "nt", "sys", "subprocess", "shutil", "socket", "runpy")


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
    zipped = zipfile.is_zipfile(path)
    if trust:
        return _trusted(path, allowed, zipped=zipped)
    refusal = functools.partial(_refusal, allowed)
    shown = Shown(path.stat().st_size)
    try:
        with failing_as(BadPickle):
            return (load_archive if zipped else load_older)(
                path, lambda storage: TorchObjects(allowed, shown, storage, refusal)
            )
    except BadPickle as error:
        reason = first_line(error)
        raise ModelRefused(f"'{path}' is damaged or no PyTorch model file: {reason}") from error
    except EdgepruneError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"'{path}': {error}") from error


def _refusal(allowed: Allowed, module: str, name: str) -> str:
    asks = f"it asks for {module}.{name} when loaded"
    if module.partition(".")[0] in DANGEROUS:
        return f"{asks}, which can run any code: do not load it unless you trust it (--trust)"
    if allowed.permits(module, name):
        try:
            allowed.resolve(module, name)
        except ModelRefused as error:
            return str(error)
    if module == "__main__":
        way_out = f"--allow path/to/script.py, the script that defines {name}"
    else:
        way_out = f"--allow {module}, if that is your network's own code"
    return f"{asks}, which is not allowed: pass {way_out}, or --trust if you trust the file"


def _trusted(path: Path, allowed: Allowed, *, zipped: bool) -> object:
    if zipped:
        check_all(path)
    with searching(pathlib.Path.cwd(), first=False):
        for file in allowed.files():
            import_file(file)
        with failing_as(ModelRefused, f"cannot load '{path}'"):
            return torch.load(path, map_location="cpu", weights_only=False)
