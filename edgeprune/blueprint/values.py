"""One attribute of a module as JSON and back.

``None``, booleans, integers, finite floats, text, lists and dictionaries with text keys stand for
themselves. Everything else is a dictionary with a single key that starts with ``$``:

    $tuple $set $frozenset $size  the items          $dict       pairs of key and value
    $float                        "inf" "-inf" "nan" $dtype $device  their name
    $class $function              "module:name"      $partial    function, arguments, keywords
    $enum                         class and member   $dataclass  class and fields
    $tensor                       key of a tensor    $module     index of a module
    $weakref                      its target
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import math
import numbers
import weakref
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from edgeprune.blueprint.allowed import (
    FUNCTIONAL,
    TORCH_FUNCTIONS,
    find,
    functional_name,
    is_network_class,
    is_value_class,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeprune.blueprint.allowed import Allowed

Json: TypeAlias = Any
"""A value of the json module; the recursive type is not spelled out for mypy."""


class UndescribableError(Exception):
    """A value that has no JSON form; the caller knows which attribute it is."""


class Register(Protocol):
    """Collects the tensors and modules that a value holds, each once."""

    def key_of(self, tensor: Tensor) -> str:
        """The key under which the tensor is stored."""

    def index_of(self, module: nn.Module) -> int:
        """The index under which the module is described."""


class Stock(Protocol):
    """Gives the tensors and modules of a value."""

    def tensor(self, key: str) -> Tensor:
        """The tensor stored under ``key``."""

    def module(self, index: int) -> nn.Module:
        """The module described at ``index``."""


def to_json(value: object, register: Register) -> Json:
    """Describe one value.

    Raises:
        UndescribableError: The value, or a part of it, has no JSON form.
    """

    def each(items: object) -> list[Json]:
        return [to_json(item, register) for item in items]  # type: ignore[attr-defined]

    for kind, describe in _WRITERS:
        if isinstance(value, kind):
            return describe(value, each, register)
    raise UndescribableError(f"a {type(value).__module__}.{type(value).__qualname__}")


def from_json(value: Json, stock: Stock, allowed: Allowed) -> Any:
    """Make the value that ``to_json`` described.

    Raises:
        ModelRefused: The value names something that is not allowed.
        ValueError: The value is not of the form that ``to_json`` writes.
    """

    def make(item: Json) -> Any:
        return from_json(item, stock, allowed)

    if isinstance(value, list):
        return [make(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag = next(iter(value), "")
    if not tag.startswith("$"):
        return {key: make(item) for key, item in value.items()}
    if len(value) != 1 or tag not in _READERS:
        raise ValueError(f"unknown value {tag}")
    return _READERS[tag](value[tag], make, stock, allowed)


def name_of(named: type | FunctionType | BuiltinFunctionType) -> str:
    """The ``module:name`` under which a class or function can be found again.

    Raises:
        UndescribableError: It cannot be found: it was made inside a function or is a lambda.
    """
    if isinstance(named, BuiltinFunctionType | FunctionType):
        if name := functional_name(named):
            return f"{FUNCTIONAL}:{name}"
        if named.__name__ in TORCH_FUNCTIONS and getattr(torch, named.__name__) is named:
            return f"torch:{named.__name__}"
    elif not (is_network_class(named) or is_value_class(named)):
        raise UndescribableError(f"the class {named.__qualname__!r}, which is no network")
    try:
        module = importlib.import_module(named.__module__)
    except (ImportError, AttributeError, TypeError):
        module = None
    if module is None or find(module, named.__qualname__) is not named:
        raise UndescribableError(
            f"{named.__qualname__!r}, which no other program can import: "
            "define it at the top level of a module"
        )
    return f"{named.__module__}:{named.__qualname__}"


def named(name: Json, allowed: Allowed) -> Any:
    """The class or function of a name from ``name_of``.

    Raises:
        ModelRefused: The name is not allowed.
    """
    module, _, qualname = str(name).partition(":")
    return allowed.resolve(module, qualname)


_Each: TypeAlias = Callable[[object], list[Json]]
_Make: TypeAlias = Callable[[Json], Any]


def _mapping_to_json(value: Mapping[Any, Any], each: _Each) -> Json:
    if type(value) not in (dict, OrderedDict):
        raise UndescribableError(f"a {type(value).__qualname__}")
    if all(isinstance(key, str) and not key.startswith("$") for key in value):
        return dict(zip(value, each(value.values()), strict=True))
    return {"$dict": [each(pair) for pair in value.items()]}


def _float_to_json(value: float) -> Json:
    return value if math.isfinite(value) else {"$float": str(value)}


def _tuple_to_json(value: tuple[object, ...], each: _Each) -> Json:
    if type(value) not in (tuple, torch.Size):
        raise UndescribableError(f"a {type(value).__qualname__}")
    return {"$size" if type(value) is torch.Size else "$tuple": each(value)}


def _set_to_json(value: set[object] | frozenset[object], each: _Each) -> Json:
    tag = "$set" if isinstance(value, set) else "$frozenset"
    return {tag: sorted(each(value), key=repr)}


def _partial_to_json(value: functools.partial[Any], each: _Each) -> Json:
    return {"$partial": each((value.func, list(value.args), value.keywords))}


def _dataclass_to_json(value: object, each: _Each) -> Json:
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        raise UndescribableError(f"a {type(value).__module__}.{type(value).__qualname__}")
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {"$dataclass": [name_of(type(value)), _mapping_to_json(fields, each)]}


def _partial_from_json(parts: Json, make: _Make) -> functools.partial[Any]:
    function, args, keywords = (make(part) for part in parts)
    return functools.partial(function, *args, **keywords)


def _enum_from_json(parts: Json, allowed: Allowed) -> Any:
    kind = named(parts[0], allowed)
    if not (isinstance(kind, type) and issubclass(kind, Enum)):
        raise ValueError(f"{parts[0]} is no enum")
    return kind[parts[1]]


def _dataclass_from_json(parts: Json, make: _Make, allowed: Allowed) -> Any:
    kind = named(parts[0], allowed)
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise ValueError(f"{parts[0]} is no dataclass")
    value = kind.__new__(kind)
    for name, item in make(parts[1]).items():
        object.__setattr__(value, name, item)
    return value


def _torch_constant(name: Json, kind: type) -> Any:
    value = getattr(torch, str(name), None)
    if not isinstance(value, kind):
        raise ValueError(f"torch has no {kind.__name__} {name}")
    return value


# The first kind that fits: bool is an int, an enum may be one, numpy's floats are floats.
_WRITERS: tuple[tuple[Any, Callable[[Any, _Each, Register], Json]], ...] = (
    (type(None), lambda value, each, register: None),
    (bool, lambda value, each, register: value),
    (Enum, lambda value, each, register: {"$enum": [name_of(type(value)), value.name]}),
    (str, lambda value, each, register: str(value)),
    (numbers.Integral, lambda value, each, register: int(value)),
    (numbers.Real, lambda value, each, register: _float_to_json(float(value))),
    (Tensor, lambda value, each, register: {"$tensor": register.key_of(value)}),
    (nn.Module, lambda value, each, register: {"$module": register.index_of(value)}),
    (tuple, lambda value, each, register: _tuple_to_json(value, each)),
    (list, lambda value, each, register: each(value)),
    ((dict, OrderedDict), lambda value, each, register: _mapping_to_json(value, each)),
    ((set, frozenset), lambda value, each, register: _set_to_json(value, each)),
    (torch.dtype, lambda value, each, register: {"$dtype": str(value).removeprefix("torch.")}),
    (torch.device, lambda value, each, register: {"$device": str(value)}),
    (type, lambda value, each, register: {"$class": name_of(value)}),
    ((FunctionType, BuiltinFunctionType), lambda v, each, register: {"$function": name_of(v)}),
    (functools.partial, lambda value, each, register: _partial_to_json(value, each)),
    (weakref.ref, lambda value, each, register: {"$weakref": each([value()])[0]}),
    (object, lambda value, each, register: _dataclass_to_json(value, each)),
)

_READERS: dict[str, Callable[[Json, _Make, Stock, Allowed], Any]] = {
    "$tuple": lambda value, make, stock, allowed: tuple(map(make, value)),
    "$set": lambda value, make, stock, allowed: set(map(make, value)),
    "$frozenset": lambda value, make, stock, allowed: frozenset(map(make, value)),
    "$size": lambda value, make, stock, allowed: torch.Size(value),
    "$dict": lambda value, make, stock, allowed: {make(k): make(v) for k, v in value},
    "$float": lambda value, make, stock, allowed: float(value),
    "$dtype": lambda value, make, stock, allowed: _torch_constant(value, torch.dtype),
    "$device": lambda value, make, stock, allowed: torch.device(value),
    "$class": lambda value, make, stock, allowed: named(value, allowed),
    "$function": lambda value, make, stock, allowed: named(value, allowed),
    "$partial": lambda value, make, stock, allowed: _partial_from_json(value, make),
    "$enum": lambda value, make, stock, allowed: _enum_from_json(value, allowed),
    "$dataclass": lambda value, make, stock, allowed: _dataclass_from_json(value, make, allowed),
    "$tensor": lambda value, make, stock, allowed: stock.tensor(value),
    "$module": lambda value, make, stock, allowed: stock.module(value),
    "$weakref": lambda value, make, stock, allowed: weakref.ref(make(value)),
}
