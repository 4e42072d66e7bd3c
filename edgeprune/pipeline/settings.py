"""Settings as one writes them in Python → as ``CompressConfig`` holds them.

What is clear is taken: a name stands for the method of that name, a path for a file, one thing for
a sequence of one, ``macs=0.5`` for ``budget=Macs(0.5)``. Everything else is refused in a sentence.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, cast

from edgeprune import units
from edgeprune.bench import BenchSettings
from edgeprune.errors import UsageError
from edgeprune.export import TARGETS, OnnxTarget
from edgeprune.images.sources import SOURCES
from edgeprune.pruning import BUDGETS, CRITERIA, Allocation, parse_budget, plan_file
from edgeprune.pruning.measured_budgets import MEASURED_BUDGETS
from edgeprune.python_words import require_known
from edgeprune.recovery import METHODS

if TYPE_CHECKING:
    from edgeprune.choices import Choices

Class = TypeVar("Class")
Convert = Callable[[str, Any], Any]
"""Takes the name of a setting and what was given, and gives what the setting holds."""


class Settings(TypedDict, total=False):
    """What ``ep.compress`` and ``ep.CompressConfig`` take as keywords; see the latter."""

    macs: float | str
    params: float | str
    ratio: float | str
    latency: float | str
    size: float | str
    budget: Any
    plan: Any
    criterion: Any
    allocation: Any
    keep: str | Iterable[str]
    recover: Any
    target: Any
    precision: str
    quantize: Any
    bench: Any
    further_runtimes: str | Iterable[str]
    alternatives: bool
    eval_images: str | os.PathLike[str] | None
    images: str | os.PathLike[str] | None
    synthesis: Any
    budget_time: float | str | None
    workspace: str | os.PathLike[str] | None
    fail_if: str | Iterable[str]
    seed: int


def reading_settings(cls: type[Class]) -> type[Class]:
    """The dataclass, made from settings as one writes them."""
    make: Any = cls.__init__
    names = [each.name for each in fields(cast("Any", cls))]

    @wraps(make)
    def init(self: object, *args: object, **given: object) -> None:
        if len(args) > len(names):
            raise UsageError(f"{cls.__name__}() takes settings as keywords")
        positional = dict(zip(names, args, strict=False))
        make(self, **converted(cls.__name__, {**positional, **given}))

    cls.__init__ = init  # type: ignore[method-assign]
    return cls


def converted(call: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as ``CompressConfig`` holds them.

    Args:
        call: Name of what was called, for errors.
        given: Settings by keyword.

    Raises:
        UsageError: A keyword is not known, or what it was given is not what it takes.
    """
    require_known(call, given, Settings.__annotations__)
    budgets = [kind for kind in (*KINDS, "budget") if given.get(kind) is not None]
    if len(budgets) > 1:
        raise UsageError(f"choose one budget of {', '.join(f'{kind}=' for kind in budgets)}")
    settings = {}
    for name, value in given.items():
        kind = "budget" if name in KINDS else name
        if name not in KINDS or value is not None:
            settings[kind] = CONVERSIONS.get(name, _as_it_is)(name, value)
    return settings


def _as_it_is(name: str, value: object) -> object:
    return value


def _share(name: str, value: object) -> object:
    """A budget from a number or a text: what remains, or under ``ratio`` what goes."""
    kind = name if name in BUDGETS else "macs"
    if isinstance(value, str):
        return parse_budget(kind, value)
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise _wrong(name, value, 'a share such as 0.5 or "50%"')
    return BUDGETS[kind](float(cast("float", value)))


def _budget(name: str, value: object) -> object:
    whole = not isinstance(value, type) and hasattr(value, "share") and hasattr(value, "kind")
    return value if whole else _share(name, value)


def _measured(name: str, value: object) -> object:
    return None if value is None else MEASURED_BUDGETS[name](cast("float", value))


def _named(table: Choices[Any]) -> Convert:
    """One of a table by its name, a class of such, or an instance: the user's own, too."""

    def convert(name: str, value: object) -> object:
        if isinstance(value, str):
            return table[value]()
        if isinstance(value, type):
            return value()
        if not callable(value):
            raise _wrong(name, value, f"one of {', '.join(table)}, or your own")
        return value

    return convert


def _methods(name: str, value: object) -> object:
    if value is None or value is False:
        return ()
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip() != "none"]
    elif callable(value):
        value = [value]
    if not isinstance(value, Iterable):
        raise _wrong(name, value, f"names or methods: {', '.join(METHODS)}")
    return tuple(_named(METHODS)(name, each) for each in value)


def _target(name: str, value: object) -> object:
    if value is None or value is False:
        return None
    if value is True:
        return OnnxTarget()
    return _named(TARGETS)(name, value)


def _bench(name: str, value: object) -> object:
    if value is None or isinstance(value, bool):
        return BenchSettings() if value else None
    if not isinstance(value, BenchSettings):
        raise _wrong(name, value, "False for none, or ep.BenchSettings(seconds=10)")
    return value


def _optional(convert: Convert) -> Convert:
    return lambda name, value: None if value is None else convert(name, value)


def _path(name: str, value: object) -> object:
    try:
        return Path(cast("str", value))
    except TypeError:
        raise _wrong(name, value, "a path") from None


def _existing(name: str, value: object) -> object:
    path = cast("Path", _path(name, value))
    if not path.exists():
        raise UsageError(f"{name}={str(value)!r}: there is no such file or folder")
    return path


def _plan(name: str, value: object) -> object:
    if isinstance(value, (str, os.PathLike)):
        return plan_file.read(Path(value))
    value = getattr(value, "plan", value)  # what ep.plan gave
    if not hasattr(value, "groups"):
        raise _wrong(name, value, "a plan of ep.plan, or the path of a plan.json")
    return value


def _texts(name: str, value: object) -> object:
    several = (value,) if isinstance(value, str) else value
    if not isinstance(several, Iterable):
        raise _wrong(name, value, "a text, or several")
    texts = tuple(several)
    if not all(isinstance(each, str) for each in texts):
        raise _wrong(name, value, "a text, or several")
    return texts


def _seconds(name: str, value: object) -> object:
    try:
        seconds = units.parse_duration(value) if isinstance(value, str) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise _wrong(name, value, 'seconds, or a text such as "10m"') from None
    if not seconds > 0:
        raise _wrong(name, value, "more than 0 seconds")
    return seconds


def _allocation(name: str, value: object) -> object:
    if isinstance(value, str):
        return Allocation(scope=cast("Any", value))
    if not isinstance(value, Allocation):
        raise _wrong(name, value, "ep.Allocation(unit=8)")
    return value


def _seed(name: str, value: object) -> object:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise _wrong(name, value, "a whole number")
    return int(cast("int", value))


def _wrong(name: str, value: object, expected: str) -> UsageError:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else type(value).__name__
    return UsageError(f"{name}={shown}: expected {expected}")


KINDS = (*BUDGETS, *MEASURED_BUDGETS)
"""Keywords that are short for a budget."""

CONVERSIONS: dict[str, Convert] = {
    **dict.fromkeys(BUDGETS, _share),
    **dict.fromkeys(MEASURED_BUDGETS, _measured),
    "budget": _budget,
    "plan": _optional(_plan),
    "criterion": _named(CRITERIA),
    "allocation": _allocation,
    "keep": _texts,
    "recover": _methods,
    "target": _target,
    "bench": _bench,
    "further_runtimes": _texts,
    "eval_images": _optional(_existing),
    "images": _optional(_existing),
    "synthesis": _optional(_named(SOURCES)),
    "budget_time": _optional(_seconds),
    "workspace": _optional(_path),
    "fail_if": _texts,
    "seed": _seed,
}
"""How each setting is read; what stands not here is held as it is."""
