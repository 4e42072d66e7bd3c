"""A .pt or .pth file → the object in it, made of allowed classes only, with no call.

A pickle is a program: it names things and calls them. ``torch.load(weights_only=True)`` runs that
program with only the names it is given, and it is given few: tensors, the network classes that
``Allowed`` grants, and some plain values. A function may be *named*, as networks keep one as an
attribute, but the program gets a placeholder that cannot be called; it is replaced by the function
afterwards.
"""

from __future__ import annotations

import argparse
import functools
import pathlib
import pickle
import pickletools
import re
import warnings
import zipfile
from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from edgeprune.blueprint.allowed import FUNCTIONAL, import_file, searching
from edgeprune.errors import ModelRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from edgeprune.blueprint import Allowed

_NUMPY_SCALAR = np.float64(0).__reduce__()[0]

PLAIN_VALUES: Mapping[str, Any] = {
    # What training scripts put beside the weights: settings, paths, the best accuracy so far.
    "functools.partial": functools.partial,
    "argparse.Namespace": argparse.Namespace,
    "pathlib.PosixPath": pathlib.PurePosixPath,
    "pathlib.WindowsPath": pathlib.PureWindowsPath,
    "pathlib._local.PosixPath": pathlib.PurePosixPath,
    "pathlib._local.WindowsPath": pathlib.PureWindowsPath,
    "numpy.dtype": np.dtype,
    "numpy.core.multiarray.scalar": _NUMPY_SCALAR,
    "numpy._core.multiarray.scalar": _NUMPY_SCALAR,
    # The hooks of the older weight_norm and spectral_norm: two or three fields each.
    "torch.nn.utils.weight_norm.WeightNorm": WeightNorm,
    "torch.nn.utils.spectral_norm.SpectralNorm": SpectralNorm,
}
NUMPY_TYPES = {type(np.dtype(code)) for code in ("f2", "f4", "f8", "i4", "i8", "?")}

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
    """
    _require_intact(path)
    if trust:
        return _trusted(path, allowed)
    names = tuple(dict.fromkeys(_names_in(path)))
    granted = tuple(_granted(names, allowed))
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([*granted]):
            warnings.simplefilter("ignore")  # about pickle protocols; failures say more
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile file may make the unpickler fail in any way
        raise ModelRefused(_diagnosis(path, names, allowed, str(error))) from error
    return _without_placeholders(loaded)


def _require_intact(path: Path) -> None:
    """Refuse an archive that is damaged, or holds more than its size.

    Raises:
        ModelRefused: Names the member.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.file_size > member.compress_size:
                    raise ModelRefused(
                        f"'{path}' holds compressed data ({member.filename}), which torch.save "
                        "never writes: it is not unpacked"
                    )
            damaged = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, EOFError) as error:
        raise ModelRefused(f"'{path}' is damaged: {error}") from error
    if damaged is not None:
        raise ModelRefused(f"'{path}' is damaged: the checksum of {damaged} does not fit")


class _Placeholder:
    """A function that the file names: it may be kept, not called."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.function = function

    def __call__(self, *args: object, **keywords: object) -> object:
        raise pickle.UnpicklingError(f"the file calls {self.function!r}")


def _names_in(path: Path) -> Iterator[tuple[str, str]]:
    """Every ``module, name`` that the file's pickles ask for, in order; nothing is run."""
    with path.open("rb") as plain:
        if plain.read(2) == b"PK":
            with zipfile.ZipFile(plain) as archive:
                for member in archive.namelist():
                    if member.endswith("data.pkl"):
                        with archive.open(member) as file:
                            yield from _names_in_pickle(file)
            return
        plain.seek(0)
        for _ in range(4):  # the older format: magic number, version, machine, then the object
            yield from _names_in_pickle(plain)


def _names_in_pickle(file: Any) -> Iterator[tuple[str, str]]:
    texts: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name in ("GLOBAL", "INST"):
                module, _, name = str(argument).partition(" ")
                yield "builtins" if module == "__builtin__" else module, name
            elif opcode.name == "STACK_GLOBAL" and len(texts) > 1:
                yield texts[-2], texts[-1]
            elif isinstance(argument, str):
                texts.append(argument)
    except Exception:  # the unpickler will fail at the same place, and say so
        return


def _granted(names: tuple[tuple[str, str], ...], allowed: Allowed) -> Iterator[tuple[Any, str]]:
    for module, name in names:
        full = f"{module}.{name}"
        home = FUNCTIONAL if module == "torch._C._nn" else module
        if full in PLAIN_VALUES:
            yield PLAIN_VALUES[full], full
        elif (found := _found(home, name, allowed)) is not None:
            is_function = isinstance(found, FunctionType | BuiltinFunctionType)
            yield _Placeholder(found) if is_function else found, full
        if full == "numpy.dtype":
            yield from ((kind, f"numpy.dtypes.{kind.__name__}") for kind in NUMPY_TYPES)


def _found(module: str, name: str, allowed: Allowed) -> Any:
    try:
        return allowed.resolve(module, name)
    except ModelRefused:  # then torch knows the name, or refuses it
        return None


def _diagnosis(path: Path, names: tuple[tuple[str, str], ...], allowed: Allowed, error: str) -> str:
    asked = re.search(r"GLOBAL (\S+)", error)
    culprit = asked.group(1) if asked else ""
    for module, name in names:
        if culprit in (f"{module}.{name}", name if module == "builtins" else None):
            return _refusal(path, module, name, allowed)
    unusual = [n for n in names if n[0].partition(".")[0] in DANGEROUS and n[1] != "set"]
    if unusual:
        return _refusal(path, *unusual[0], allowed)
    if "persistent_load of storage" in error:
        return (
            f"'{path}' holds a whole network in the format of torch before 1.6, which carries its "
            "own source code: save it again, or its state_dict(), or pass --trust if you trust it"
        )
    if "Unsupported operand" in error:
        return f"'{path}' is not what torch.save writes by default: save it again without options"
    reason = re.search(r"WeightsUnpickler error:\s*(.+)", error)
    message = reason.group(1) if reason else error.partition("\n")[0]
    return f"'{path}' is damaged or no PyTorch model file: {message}"


def _refusal(path: Path, module: str, name: str, allowed: Allowed) -> str:
    asks = f"'{path}' asks for {module}.{name} when loaded"
    if module.partition(".")[0] in DANGEROUS:
        return f"{asks}, which can run any code: do not load it unless you trust it (--trust)"
    if allowed.permits(module, name):
        try:
            allowed.resolve(module, name)
        except ModelRefused as error:
            return f"'{path}': {error}"
    if module == "__main__":
        way_out = f"--allow path/to/script.py, the script that defines {name}"
    else:
        way_out = f"--allow {module}, if that is your network's own code"
    return f"{asks}, which is not allowed: pass {way_out}, or --trust if you trust the file"


def _without_placeholders(value: Any, visited: set[int] | None = None) -> Any:
    """Replace the placeholders by their functions, in place where possible."""
    visited = set() if visited is None else visited
    if isinstance(value, _Placeholder):
        return value.function
    if type(value) is tuple:
        return tuple(_without_placeholders(item, visited) for item in value)
    if isinstance(value, functools.partial):
        parts = (value.func, value.args, value.keywords)
        function, args, keywords = _without_placeholders(parts, visited)
        return functools.partial(function, *args, **keywords)
    if id(value) not in visited:
        visited.add(id(value))
        _replace_inside(value, visited)
    return value


def _replace_inside(value: Any, visited: set[int]) -> None:
    """Replace the placeholders in a dictionary, a list or a module, in place."""
    if isinstance(value, dict):
        value.update({k: _without_placeholders(item, visited) for k, item in value.items()})
    elif isinstance(value, list):
        value[:] = [_without_placeholders(item, visited) for item in value]
    elif isinstance(value, nn.Module):
        _replace_inside(vars(value), visited)


def _trusted(path: Path, allowed: Allowed) -> object:
    with searching(pathlib.Path.cwd(), first=False):
        for file in allowed.files():
            import_file(file)
        try:
            return torch.load(path, map_location="cpu", weights_only=False)
        except Exception as error:  # whatever code the file brings may fail in any way
            raise ModelRefused(f"cannot load '{path}': {error!r}") from error
