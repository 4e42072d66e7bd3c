"""Classes and functions that a model file may name.

A model file is untrusted data, and a name in it is a request: "make one of these". Allowed are the
network classes of torch.nn, torchvision.models and torchvision.ops, the functions of
torch.nn.functional and torchvision.ops, and the members of modules that the user allowed. A name is
checked as text before anything is imported, and the object behind it is checked again before it is
used: an alias in an allowed module to an object from elsewhere is refused.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType, SimpleNamespace
from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional as F

from edgeprune.errors import ModelRefused, UsageError, failing_as

if TYPE_CHECKING:
    from collections.abc import Iterator

FUNCTIONAL = "torch.nn.functional"
NETWORK_CLASSES = (
    "torch.nn.modules",
    "torch.nn.parallel.data_parallel",
    "torchvision.models",
    "torchvision.ops",
    "edgeprune.loading.calling_forms",
    "edgeprune.loading.torchvision_detector",
    "edgeprune.loading.ultralytics_checkpoint",
    "edgeprune.program.network",
)
FUNCTIONS = (FUNCTIONAL, "torchvision.ops")
TORCH_FUNCTIONS = ("relu", "relu_", "sigmoid", "tanh", "softmax", "add", "mul", "cat", "flatten")
"""Members of ``torch`` itself that networks keep as an attribute: arithmetic on tensors only."""

# Subclasses of these carry code as data: their state is a program, not weights.
CODE_AS_DATA = ("torch.fx", "torch.jit", "torch._dynamo", "torch.export", "torch.package")


@dataclass(frozen=True, slots=True)
class Allowed:
    """The modules that the user lets a model file name, beyond the built-in ones.

    Attributes:
        entries: Dotted modules, their submodules included ("pkg.models"), or Python files
            ("path/to/net.py"), known by their stem and, as a script that saved its own class,
            by ``__main__``. Naming a module here is the consent to import it.
    """

    entries: tuple[str, ...] = ()

    def resolve(self, module: str, qualname: str) -> object:
        """The network class, plain function, enum or dataclass of that name.

        Raises:
            ModelRefused: The name is not allowed, does not exist, or is no such object.
            UsageError: An allowed file cannot be imported.
        """
        if not self.permits(module, qualname):
            raise ModelRefused(_refusal(module, qualname))
        if module == "__main__":
            return self._from_scripts(qualname)
        return self._checked(self._imported(module), module, qualname)

    def permits(self, module: str, qualname: str) -> bool:
        """Whether the name, as text, may be looked up at all."""
        if module == "__main__":
            return bool(self.files())
        return self.names(module) or _built_in(module, qualname)

    def names(self, module: str) -> bool:
        """Whether the user allowed ``module``."""
        known = {entry for entry in self.entries if not entry.endswith(".py")}
        return _within(module, tuple(known | {file.stem for file in self.files()}))

    def files(self) -> tuple[Path, ...]:
        """The entries that are Python files."""
        return tuple(Path(entry) for entry in self.entries if entry.endswith(".py"))

    def _imported(self, module: str) -> ModuleType:
        for file in self.files():
            if module == file.stem:
                return import_file(file)
        with failing_as(ModelRefused, f"the model file names {module!r}, which does not load"):
            return import_named(module) if self.names(module) else importlib.import_module(module)

    def _from_scripts(self, qualname: str) -> object:
        for file in self.files():
            module = import_file(file)
            if hasattr(module, qualname.partition(".")[0]):
                return self._checked(module, module.__name__, qualname)
        raise ModelRefused(f"no file that was allowed defines {qualname!r}, which the model needs")

    def _checked(self, module: ModuleType, name: str, qualname: str) -> object:
        found = find(module, qualname)
        if found is None:
            raise ModelRefused(
                f"{name!r} has no {qualname!r}: the model was saved with another version of it"
            )
        if is_network_class(found):
            home = found.__module__
            if self.names(home) or _within(home, NETWORK_CLASSES):
                return found
        elif isinstance(found, FunctionType | BuiltinFunctionType):
            home = found.__module__ or ""
            if _built_in_function(name, qualname) or (
                self.names(home) and isinstance(found, FunctionType)
            ):
                return found
        elif is_value_class(found) and self.names(found.__module__):
            return found
        raise ModelRefused(
            f"the model file asks for {name}.{qualname}, which is neither a network class nor a "
            "plain function of an allowed module"
        )


def import_named(module: str) -> ModuleType:
    """Import a module that the user named; the working directory counts, as for ``python -m``."""
    with searching(Path.cwd(), first=False):
        return importlib.import_module(module)


def import_file(file: Path) -> ModuleType:
    """Import a Python file that the user named, under its stem, once.

    Raises:
        UsageError: The file is missing, fails, or its stem is another module's name.
    """
    path = file.resolve()
    loaded = sys.modules.get(path.stem)
    if loaded is not None:
        if Path(getattr(loaded, "__file__", None) or "?").resolve() == path:
            return loaded
        raise UsageError(f"cannot import '{file}': a module {path.stem!r} is there; rename it")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UsageError(f"there is no Python file '{file}'")
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    try:
        failing = failing_as(UsageError, f"'{file}' failed when imported")
        with failing, searching(path.parent, first=True):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module


def find(module: ModuleType, qualname: str) -> object | None:
    """The object of that name; only classes are searched, so no name leads out of the module."""
    found: object = module
    for part in qualname.split("."):
        if found is not module and not isinstance(found, type):
            return None
        found = vars(found).get(part)
        if found is None:
            return None
    return found


@functools.cache
def functional_name(function: object) -> str | None:
    """Name of a function in torch.nn.functional, for builtins without a name; None if none."""
    return next((n for n, f in vars(F).items() if f is function and _public_functional(n)), None)


def is_network_class(found: object) -> bool:
    """Whether an object is a class of modules made of layers, not of a stored program."""
    return (
        isinstance(found, type)
        and issubclass(found, nn.Module)
        and not any(_within(base.__module__, CODE_AS_DATA) for base in found.__mro__)
    )


def is_value_class(found: object) -> bool:
    """Whether an object is an enum, a dataclass or a namespace: named values without behaviour."""
    return isinstance(found, type) and (
        issubclass(found, Enum | SimpleNamespace) or dataclasses.is_dataclass(found)
    )


@contextmanager
def searching(folder: Path, *, first: bool) -> Iterator[None]:
    """Let imports find modules in ``folder``, before or after all other places."""
    entry = os.fspath(folder)
    sys.path.insert(0 if first else len(sys.path), entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


def _within(module: str, prefixes: tuple[str, ...]) -> bool:
    return any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes)


def _built_in(module: str, qualname: str) -> bool:
    return _within(module, NETWORK_CLASSES) or _built_in_function(module, qualname)


def _built_in_function(module: str, qualname: str) -> bool:
    if module == FUNCTIONAL:
        return _public_functional(qualname)
    if module == "torch":
        return qualname in TORCH_FUNCTIONS
    return _within(module, FUNCTIONS) and not qualname.startswith("_")


def _public_functional(name: str) -> bool:
    # handle_torch_function and its like are imported there too, and call what they are given.
    home = getattr(vars(F).get(name), "__module__", None)
    return not name.startswith("_") and home in (FUNCTIONAL, "torch._C._nn", "torch")


def _refusal(module: str, qualname: str) -> str:
    if module == "__main__":
        way_out = f"pass --allow path/to/script.py, the script that defines {qualname!r}"
    else:
        way_out = f"pass --allow {module} (allow=) if that is your network's own code"
    return f"the model file names {module}.{qualname}, which is not allowed; {way_out}"
