"""Quantities as people write them: 8 ms, 1.5 MiB, 20M, 50%. The only place that scales figures.

Everywhere else figures are SI: seconds, bytes, plain counts, and shares from 0 to 1. What the
printers write, ``parse`` reads.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Kind: TypeAlias = Literal["s", "bytes", "count", "ratio"]

UNKNOWN = "–"


class Quantity(NamedTuple):
    """A figure in the unit of its kind; ``kind`` is None for a number without a unit.

    ``unit`` is what stood behind the number.
    """

    value: float
    kind: Kind | None
    unit: str = ""


class UnknownUnit(ValueError):
    """A number is followed by a unit that there is not.

    Args:
        unit: What stands in its place.
    """

    def __init__(self, unit: str) -> None:
        super().__init__(f"unknown unit {unit!r}")
        self.unit = unit


def parse(text: str) -> Quantity:
    """Read a number with or without a unit of ``UNITS``: "-1.5e3", "8 ms", "20M", "2 min 5 s".

    Raises:
        UnknownUnit: It is a number with some other word behind it.
        ValueError: It is no number.
    """
    if found := _MINUTES_AND_SECONDS.fullmatch(text.strip()):
        return Quantity(60 * float(found[1]) + float(found[2]), "s", "min")
    return _read(_NUMBER, text, UNITS)


def parse_duration(text: str) -> float:
    """Read a time as one types it: 90s, 10m, 1.5h, or seconds alone.

    Returns:
        Seconds, more than 0.

    Raises:
        ValueError: It is no such time.
    """
    seconds = _read(_TYPED, text, TYPED_TIMES).value
    if not 0 < seconds < math.inf:
        raise ValueError(f"{text!r} is no time that can pass")
    return seconds


def parse_share(text: str) -> float:
    """Read a share as one types it: 1%, or 0.01.

    Returns:
        A fraction between 0 and 1, neither included.

    Raises:
        ValueError: It is no such share.
    """
    share = _read(_TYPED, text, {"%": UNITS["%"]}).value
    if not 0 < share < 1:
        raise ValueError(f"{text!r} is not between 0 and 1")
    return share


def parse_amount(text: str) -> Quantity:
    """Read a share or a count as one types it: 50%, 0.5, 20M, 20m, 1500000.

    Returns:
        A quantity whose kind is "ratio", "count", or None without a unit.

    Raises:
        ValueError: It is neither.
    """
    return _read(_AMOUNT, text.upper(), {unit: UNITS[unit] for unit in "%KMG"})


def duration(seconds: float | None) -> str:
    """Seconds as µs, ms, s or minutes, to three digits."""
    if seconds is None:
        return UNKNOWN
    if seconds < 120:
        factor, unit = scale_of_time(seconds)
        return f"{_three(seconds * factor)} {unit}"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def scale_of_time(seconds: float) -> tuple[float, str]:
    """The unit that suits a time: how many of it a second has, and its name."""
    return (1e6, "µs") if seconds < 1e-3 else (1e3, "ms") if seconds < 1 else (1.0, "s")


def size(number_of_bytes: float | None) -> str:
    """Bytes as KiB, MiB or GiB, to three digits."""
    if number_of_bytes is None:
        return UNKNOWN
    for unit in ("GiB", "MiB", "KiB"):
        if number_of_bytes >= UNITS[unit][0]:
            return f"{_three(number_of_bytes / UNITS[unit][0])} {unit}"
    return f"{number_of_bytes:.0f} B"


def count(number: float | None) -> str:
    """A count in thousands, millions or billions (k, M, G), to three digits."""
    if number is None:
        return UNKNOWN
    for unit in ("G", "M", "k"):
        if number >= UNITS[unit][0]:
            return f"{_three(number / UNITS[unit][0])} {unit}"
    return f"{number:g}"


def rate(per_second: float | None) -> str:
    """Inferences per second, to three digits."""
    return UNKNOWN if per_second is None else f"{_three(per_second)} /s"


def times(ratio: float | None, low: float | None = None, high: float | None = None) -> str:
    """A ratio, and its interval if it has one."""
    if ratio is None:
        return UNKNOWN
    return f"{ratio:.2f}×" if low is None else f"{ratio:.2f}× ({low:.2f}–{high:.2f})"


def percent(share: float | None) -> str:
    """A fraction of 1 in per cent, to a tenth: "50.0%"."""
    return UNKNOWN if share is None else f"{100 * share:.1f}%"


def round_percent(share: float | None) -> str:
    """A fraction of 1 in per cent, to a tenth where it has one: "50%", "12.5%"."""
    return percent(share).replace(".0%", "%")


def whole_percent(share: float | None) -> str:
    """A fraction of 1 in whole per cent: "49%"."""
    return UNKNOWN if share is None else f"{share:.0%}"


def points(difference: float) -> str:
    """A difference of two fractions, in percentage points, with its sign."""
    return f"{100 * difference:+.1f} points".replace("-", "−")


def difference(value: float | None) -> str:
    """A numerical difference; one that was not finite is stored as None."""
    return "not finite" if value is None else f"{value:.2g}"


def dimensions(shape: Iterable[object]) -> str:
    """A shape as one types it: "1x3x224x224"; nothing for a single number's."""
    return "x".join(map(str, shape))


def _read(form: re.Pattern[str], text: str, known: Mapping[str, tuple[float, Kind]]) -> Quantity:
    found = form.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is no quantity")
    number, unit = float(found["number"]), found["unit"]
    if not unit:
        return Quantity(number, None)
    if unit not in known:
        raise UnknownUnit(unit)
    factor, kind = known[unit]
    whole = number * factor if factor >= 1 else number / round(1 / factor)  # 57% is 0.57 exactly
    return Quantity(whole, kind, unit)


def _three(value: float) -> str:
    decimals = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{decimals}f}"


UNITS: dict[str, tuple[float, Kind]] = {
    "%": (1e-2, "ratio"),
    "ns": (1e-9, "s"),
    "us": (1e-6, "s"),
    "µs": (1e-6, "s"),
    "ms": (1e-3, "s"),
    "s": (1.0, "s"),
    "min": (60.0, "s"),
    "B": (1.0, "bytes"),
    "kB": (1e3, "bytes"),
    "KB": (1e3, "bytes"),
    "MB": (1e6, "bytes"),
    "GB": (1e9, "bytes"),
    "KiB": (2.0**10, "bytes"),
    "MiB": (2.0**20, "bytes"),
    "GiB": (2.0**30, "bytes"),
    "k": (1e3, "count"),
    "K": (1e3, "count"),
    "M": (1e6, "count"),
    "G": (1e9, "count"),
}
"""Factor to the unit that figures are kept in, and the kind of figure that the unit is for."""

TYPED_TIMES: dict[str, tuple[float, Kind]] = {
    "s": (1.0, "s"),
    "m": (60.0, "s"),
    "h": (3600.0, "s"),
}
"""Units of a flag that takes a time; elsewhere "m" may be taken for a million."""

PRINTERS: dict[str, Callable[[float | None], str]] = {
    "s": duration,
    "bytes": size,
    "count": count,
    "ratio": percent,
    "/s": rate,
}
"""How a figure of each kind is written."""

_NUMBER = re.compile(
    r"(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<unit>[%A-Za-zµ]*)", re.ASCII
)
_AMOUNT = re.compile(r"(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>[%KMG]?)", re.ASCII)
_TYPED = re.compile(r"(?P<number>\d+|\d*\.\d+)(?P<unit>[%smh]?)", re.ASCII)
_MINUTES_AND_SECONDS = re.compile(r"(\d+)\s*min\s+(\d+(?:\.\d*)?)\s*s", re.ASCII)
