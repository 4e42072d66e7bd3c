"""The tensors in whatever a network returns: tuples, dictionaries, dataclasses, objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator


def tensors_in(returned: object) -> list[Tensor]:
    """All tensors of a result, in a fixed order, each object looked into once.

    Args:
        returned: What a forward returned.
    """
    return list(_tensors(returned, set()))


def _tensors(value: object, seen: set[int]) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
        return
    if isinstance(value, str | bytes | int | float | type) or id(value) in seen:
        return
    seen.add(id(value))
    for each in _parts(value):
        yield from _tensors(each, seen)


def _parts(value: object) -> list[object]:
    """What an object holds: items, values, or the fields and slots it was given."""
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, list | tuple):
        return list(value)
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    names = dict.fromkeys([*getattr(value, "__dict__", ()), *slots])
    fields = [name for name in names if not name.startswith("__")]
    return [getattr(value, name) for name in fields if hasattr(value, name)]
