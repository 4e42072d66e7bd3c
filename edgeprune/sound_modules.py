"""A network from outside has the form that PyTorch relies on without ever checking it.

A file can put anything into a layer: itself as its own child, a number in the place of a weight, a
text in the place of a method. PyTorch would fail on it anywhere, in any words.
"""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from edgeprune.errors import ModelRefused, ModelUnsupported

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTS: dict[str, type] = {"_modules": nn.Module, "_parameters": nn.Parameter, "_buffers": Tensor}
"""Tables of a layer's parts, and what may stand in each besides None."""

FIELDS: dict[str, type] = {
    "training": bool,
    "_non_persistent_buffers_set": set,
    **{name: dict for name in vars(nn.Module()) if "hooks" in name and "full" not in name},
}
"""Other fields that PyTorch reads."""

FREE = ("forward", "type", "double", "half", "cpu", "cuda", "compile", "extra_repr", "share_memory")
"""Methods that an attribute may stand in the place of: networks have their own, or nobody calls."""

METHODS = frozenset(n for n, m in vars(nn.Module).items() if isinstance(m, FunctionType)) - {*FREE}
SPECIAL = frozenset(("__deepcopy__", "__reduce_ex__", "__copy__", "__class__", "__dict__"))
"""What copying looks for in an object before its class."""


def require_sound(network: nn.Module, what: str) -> None:
    """Refuse a network that no code could work with.

    Args:
        network: The network.
        what: What it is, to begin the message: "'gift.pt'".

    Raises:
        ModelRefused: It contains itself, or a layer has something else in the place of a part.
        ModelUnsupported: A tensor is none that a layer can compute with; names it.
    """
    inside: set[int] = set()
    done: set[int] = set()
    stack: list[tuple[nn.Module, bool]] = [(network, False)]
    while stack:
        part, left = stack.pop()
        if left:
            inside.discard(id(part))
            done.add(id(part))
            continue
        if id(part) in done:
            continue
        if id(part) in inside:
            raise ModelRefused(f"{what} contains a {type(part).__name__} that contains itself")
        inside.add(id(part))
        for complaint in _complaints(part):
            raise ModelRefused(f"{what} is damaged: it holds a {type(part).__name__} {complaint}")
        _require_usable(part, what)
        stack.append((part, True))
        stack.extend((child, False) for child in part._modules.values() if child is not None)


def _complaints(part: nn.Module) -> Iterator[str]:
    own = vars(part)
    if not all(isinstance(own.get(table), dict) for table in PARTS):
        yield "without parts"
        return
    for table, kind in PARTS.items():
        others = [v for v in own[table].values() if not isinstance(v, kind | None)]
        yield from (f"with a {type(v).__name__} in the place of a {kind.__name__}" for v in others)
    for name, kind in FIELDS.items():
        if not isinstance(own.get(name, kind()), kind):
            yield f"whose '{name}' is a {type(own[name]).__name__}"
    for name in (*METHODS & own.keys(), *SPECIAL & own.keys()):
        yield f"with a {type(own[name]).__name__} in the place of its method {name}"
    names = [name for table in PARTS for name in own[table]]
    for name in sorted({*names} & {*own, *dir(nn.Module)}):
        yield f"with a part named '{name}', as one of its fields or methods is"
    if len({*names}) < len(names):
        yield f"with two parts named '{max(names, key=names.count)}'"


def _require_usable(part: nn.Module, what: str) -> None:
    """Refuse tensors without data, or of a kind that convolutions do not take."""
    for name, tensor in (*part._parameters.items(), *part._buffers.items()):
        if tensor is None:
            continue
        kind = _unusable(tensor)
        if kind is not None:
            raise ModelUnsupported(f"{what} has {kind} as '{name}' of a {type(part).__name__}")


def _unusable(tensor: Tensor) -> str | None:
    if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
        return "a lazy tensor, which gets its shape when the network first runs,"
    if tensor.is_meta:
        return "a tensor without data (of the meta device)"
    if tensor.layout != torch.strided or tensor.is_nested:
        return f"a {str(tensor.layout).removeprefix('torch.')} tensor"
    if tensor.is_quantized:
        return "a quantized tensor"
    if isinstance(tensor, nn.Parameter) and not tensor.is_floating_point():
        return f"numbers of type {str(tensor.dtype).removeprefix('torch.')}, which no gradient has,"
    return None
