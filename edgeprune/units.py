"""Figures as people read them: ms, MiB, millions. The only place where units are scaled up."""

from __future__ import annotations

UNKNOWN = "–"


def duration(seconds: float | None) -> str:
    """Seconds as µs, ms, s or minutes, to three digits."""
    if seconds is None:
        return UNKNOWN
    if seconds < 1e-3:
        return f"{_three(seconds * 1e6)} µs"
    if seconds < 1:
        return f"{_three(seconds * 1e3)} ms"
    if seconds < 120:
        return f"{_three(seconds)} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def size(number_of_bytes: float | None) -> str:
    """Bytes as KiB, MiB or GiB, to three digits."""
    if number_of_bytes is None:
        return UNKNOWN
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if number_of_bytes >= factor:
            return f"{_three(number_of_bytes / factor)} {unit}"
    return f"{number_of_bytes:.0f} B"


def count(number: float | None) -> str:
    """A count in thousands, millions or milliards (k, M, G), to three digits."""
    if number is None:
        return UNKNOWN
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= factor:
            return f"{_three(number / factor)} {unit}"
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
    """A fraction of 1 in per cent, to a tenth."""
    return UNKNOWN if share is None else f"{100 * share:.1f}%"


def points(difference: float) -> str:
    """A difference of two fractions, in percentage points, with its sign."""
    return f"{100 * difference:+.1f} points".replace("-", "−")


def difference(value: float | None) -> str:
    """A numerical difference; one that was not finite is stored as None."""
    return "not finite" if value is None else f"{value:.2g}"


def _three(value: float) -> str:
    decimals = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{decimals}f}"
