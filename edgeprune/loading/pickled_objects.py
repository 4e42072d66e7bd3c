"""What a pickle of torch.save may ask for: a table of names, each with what is made for it here.

None of the functions that a file names is called: "rebuild a tensor" is done by our own code, which
holds the sizes against the file first, and the state of a layer is set without its constructor.
A class or a function of the allowed ones may be *kept*, as layers keep one as an attribute.
"""

from __future__ import annotations

import argparse
import functools
import pathlib
from collections import Counter, OrderedDict
from dataclasses import dataclass
from enum import Enum
from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from edgeprune.blueprint.allowed import FUNCTIONAL, is_value_class
from edgeprune.errors import ModelRefused, ModelUnsupported
from edgeprune.loading import compiled
from edgeprune.loading.pickle_machine import BadPickle, require_keys
from edgeprune.loading.stored_tensors import DTYPES, Shown, Storage, are_sizes

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprune.blueprint import Allowed
    from edgeprune.loading.refused_names import RefusedNames

PLAIN_OBJECTS: dict[str, type] = {
    "argparse.Namespace": argparse.Namespace,
    # The hooks of the older weight_norm and spectral_norm: two or three fields each.
    "torch.nn.utils.weight_norm.WeightNorm": WeightNorm,
    "torch.nn.utils.spectral_norm.SpectralNorm": SpectralNorm,
}
"""Classes whose objects are nothing but their fields."""

NUMPY_TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")
OLDER_NAMES = {"__builtin__": "builtins", "torch._C._nn": FUNCTIONAL}
DATALESS = {
    "torch._utils._rebuild_qtensor": "a quantized tensor",
    "torch._utils._rebuild_sparse_tensor": "a sparse tensor",
    "torch._utils._rebuild_nested_tensor": "a nested tensor",
    "torch._utils._rebuild_meta_tensor_no_storage": "a tensor without data (of the meta device)",
    "torch._utils._rebuild_wrapper_subclass": "a tensor of a class of its own",
    "torch.nn.parameter.UninitializedParameter": "a layer that has not run yet (a lazy one)",
    "torch.nn.parameter.UninitializedBuffer": "a layer that has not run yet (a lazy one)",
}
"""Tensors that no convolution can use, and what they are."""


@dataclass(frozen=True, slots=True)
class Call:
    """A name that a file may call, and what is done instead."""

    name: str
    do: Callable[..., object]


class TorchObjects:
    """Makes what a program of torch.save asks for.

    Args:
        allowed: Modules whose classes the file may name.
        shown: Makes the tensors.
        storage: Finds a storage by the key that the program has for it.
        refused: Collects the names that are not allowed.
    """

    def __init__(
        self,
        allowed: Allowed,
        shown: Shown,
        storage: Callable[[object], Storage],
        refused: RefusedNames,
    ) -> None:
        self._allowed, self._shown, self.stored, self._refused = allowed, shown, storage, refused
        self._names: dict[tuple[str, str], object] = {}

    def named(self, module: str, name: str) -> object:
        """A value, a class or a function to keep, or something to call."""
        asked = (module, name)
        if asked not in self._names:
            self._names[asked] = self._found(OLDER_NAMES.get(module, module), name)
        return self._names[asked]

    def _found(self, module: str, name: str) -> object:
        full = f"{module}.{name}"
        if full in DATALESS:
            raise ModelUnsupported(f"it holds {DATALESS[full]}")
        if full in PLAIN_OBJECTS:
            return PLAIN_OBJECTS[full]
        if full in _CALLS:
            return Call(full, functools.partial(_CALLS[full], self._shown))
        if module in ("torch", "torch.storage") and name in DTYPES:
            return DTYPES[name]
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if full in ("torch.Tensor", "torch._tensor.Tensor"):
            return Tensor
        return self._of_a_network(module, name)

    def _of_a_network(self, module: str, name: str) -> object:
        """A class or a function that is allowed, or what stands in its place."""
        instead = compiled.stand_in(f"{module}.{name}")
        if instead is None:
            try:
                return self._allowed.resolve(module, name)
            except ModelRefused as refusal:
                self._refused.add(module, name, refusal)
                instead = compiled.nothing
        return Call(name, instead)

    def called(self, function: object, arguments: tuple[object, ...]) -> object:
        """What the call would give; refused if it is none of the few."""
        if isinstance(function, Call):
            return function.do(*arguments)
        if isinstance(function, type) and issubclass(function, Enum):
            return function(*arguments)
        shown = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '?')}"
        raise ModelRefused(f"the file calls {shown}, and files are not to call anything")

    def made(self, kind: object, arguments: tuple[object, ...]) -> object:
        """An object without its state: a layer, or named values."""
        if isinstance(kind, Call):
            return kind.do(*arguments)
        plain = kind in PLAIN_OBJECTS.values() or is_value_class(kind)
        if arguments or not isinstance(kind, type) or not (plain or issubclass(kind, nn.Module)):
            raise BadPickle(f"it makes an object of {kind!r}")
        return kind.__new__(kind)  # type: ignore[call-overload]

    def built(self, made: object, state: object) -> object:
        """The object with its fields set."""
        if isinstance(made, compiled.Nothing | np.dtype):
            return _of_this_machine(made, state) if isinstance(made, np.dtype) else made
        if isinstance(made, functools.partial):
            return _partial(state)
        if not isinstance(state, dict) or not all(type(name) is str for name in state):
            raise BadPickle(f"the state of a {type(made).__name__} is no table of names")
        if isinstance(made, nn.Module):
            made.__setstate__(state)  # type: ignore[no-untyped-call]
        elif type(made) is OrderedDict or type(made) in PLAIN_OBJECTS.values():
            vars(made).update(state)
        elif is_value_class(type(made)) and self._allowed.names(type(made).__module__):
            for name, value in state.items():
                object.__setattr__(made, name, value)
        else:
            raise BadPickle(f"it sets the state of a {type(made).__name__}")
        return made


def _tensor(shown: Shown, *arguments: Any) -> Tensor:
    """A tensor from storage, offset, size, stride; gradients, hooks; element type; marks."""
    storage, offset, size, stride, *more = arguments
    dtype = more[2] if len(more) > 2 and isinstance(more[2], torch.dtype) else None
    if more and type(more[-1]) is dict and more[-1]:
        raise ModelUnsupported("it holds a tensor that stands for its negative or its conjugate")
    tensor = shown.tensor(storage, offset, size, stride, dtype)
    return tensor.requires_grad_(bool(more[0])) if more else tensor


def _parameter(_: Shown, data: Any, *more: Any) -> nn.Parameter:
    """A parameter from a tensor; whether it gets gradients, hooks, and attributes of its own."""
    if not isinstance(data, Tensor):
        raise BadPickle("a parameter is no tensor")
    parameter = nn.Parameter(data.detach(), bool(more[0]) if more else True)
    _set_attributes(parameter, more[2] if len(more) > 2 else None)
    return parameter


def _set_attributes(tensor: Tensor, state: object) -> None:
    if isinstance(state, dict) and all(type(name) is str for name in state):
        vars(tensor).update(state)
    elif state:
        raise BadPickle("the attributes of a tensor are no table of names")


def _of_type(_: Shown, make: object, kind: object, arguments: Any, state: object) -> Tensor:
    """A tensor with attributes of its own."""
    if not isinstance(make, Call) or kind not in (Tensor, nn.Parameter):
        raise ModelUnsupported("it holds a tensor of a class of its own")
    tensor = make.do(*arguments)
    if not isinstance(tensor, Tensor):
        raise BadPickle("it gives attributes to what is no tensor")
    _set_attributes(tensor, state)
    return tensor


def _from_device(_: Shown, data: Any, dtype: Any, device: object, needs_grad: object) -> Tensor:
    if not isinstance(data, Tensor) or not isinstance(dtype, torch.dtype):
        raise BadPickle("a tensor of another device is none")
    return data.to(dtype).requires_grad_(bool(needs_grad))


def _table(kind: type) -> Callable[..., object]:
    def make(_: Shown, items: Any = ()) -> object:
        require_keys(items if isinstance(items, dict) else [key for key, _ in items])
        return kind(items)

    return make


def _collection(kind: type) -> Callable[..., object]:
    def make(_: Shown, items: Any = ()) -> object:
        require_keys(items)
        return kind(items)

    return make


def _bytes_of(_: Shown, text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise BadPickle("it encodes a text")
    return text.encode("latin1")


def _bytearray(_: Shown, data: Any = b"") -> bytearray:
    if not isinstance(data, bytes):
        raise BadPickle("it makes an array of bytes of nothing")
    return bytearray(data)


def _size(_: Shown, lengths: Any = ()) -> torch.Size:
    if not are_sizes(tuple(lengths)):
        raise BadPickle("a shape is none")
    return torch.Size(lengths)


def _partial(state: Any) -> functools.partial[Any]:
    function, args, keywords, _ = state
    if not isinstance(function, FunctionType | BuiltinFunctionType | type | functools.partial):
        raise BadPickle("it fixes arguments of what is no function")
    return functools.partial(function, *args, **keywords)


def _numpy_dtype(_: Shown, code: Any, *__: object) -> np.dtype[Any]:
    if code not in NUMPY_TYPES:
        raise BadPickle("it holds numbers of an unknown type")
    kind: np.dtype[Any] = np.dtype(code)
    return kind


def _of_this_machine(kind: np.dtype[Any], state: Any) -> np.dtype[Any]:
    if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", "|", "="):
        raise BadPickle("it holds numbers of another machine")
    return kind


def _numpy_scalar(_: Shown, kind: Any, data: Any) -> object:
    if isinstance(data, str):
        data = data.encode("latin1")
    if not isinstance(kind, np.dtype) or not isinstance(data, bytes) or len(data) != kind.itemsize:
        raise BadPickle("it holds a number of another size than its type's")
    return np.frombuffer(data, kind)[0]


_CALLS: dict[str, Callable[..., object]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _from_device,
    "torch._tensor._rebuild_from_type_v2": _of_type,
    "torch.nn.parameter.Parameter": _parameter,
    "torch.Size": _size,
    "torch.device": lambda _, *place: torch.device(*place),
    "torch.serialization._get_layout": lambda _, name: {"torch.strided": torch.strided}[name],
    "collections.OrderedDict": _table(OrderedDict),
    "collections.Counter": _table(Counter),
    "builtins.set": _collection(set),
    "builtins.frozenset": _collection(frozenset),
    "builtins.complex": lambda _, real, imaginary: complex(real, imaginary),
    "builtins.bytearray": _bytearray,
    "_codecs.encode": _bytes_of,
    "functools.partial": lambda _, function: _partial((function, (), {}, None)),
    "numpy.dtype": _numpy_dtype,
    **dict.fromkeys(
        ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"), _numpy_scalar
    ),
    **dict.fromkeys(
        ("pathlib.PosixPath", "pathlib._local.PosixPath", "pathlib.PurePosixPath"),
        lambda _, *parts: pathlib.PurePosixPath(*parts),
    ),
    **dict.fromkeys(
        ("pathlib.WindowsPath", "pathlib._local.WindowsPath", "pathlib.PureWindowsPath"),
        lambda _, *parts: pathlib.PureWindowsPath(*parts),
    ),
}
