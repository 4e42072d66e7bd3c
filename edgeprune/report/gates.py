"""The expressions of --fail-if: thresholds that a report must not exceed.

    expression  = conjunction ("or" conjunction)*
    conjunction = comparison ("and" comparison)*
    comparison  = PATH ("<" | "<=" | ">" | ">=" | "==" | "!=") NUMBER [UNIT]

PATH is dotted, into report.json (``ratio.latency.high``), or one of ``ALIASES``. A true expression
is a gate that **failed**. A gate never passes for lack of a figure: a path that no report has, one
that is null in this report, and a comparison that cannot come true for its unit are all errors.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from edgeprune import units
from edgeprune.errors import UsageError
from edgeprune.report.document import Gate, ReportDocument
from edgeprune.report.files import as_dict
from edgeprune.report.paths import ALIASES, BASELINE, dimension, filled_by, lies_in, numeric_paths

COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """``path`` is where the figure is in report.json, ``limit`` in that figure's own unit."""

    path: str
    relation: str
    limit: float


@dataclass(frozen=True, slots=True)
class Expression:
    """True when all comparisons of any conjunction are; ``text`` is what the user wrote."""

    text: str
    any_of: tuple[tuple[Condition, ...], ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Where it looks in report.json, in the order written, each once."""
        return tuple(dict.fromkeys(c.path for all_of in self.any_of for c in all_of))


@cache
def parse(text: str) -> Expression:
    """Read one expression.

    Raises:
        UsageError: It is not one, or can never mean anything; names the place and the correction.
    """
    conjunctions = re.split(r"\s+or\s+", text.strip())
    return Expression(text, tuple(_conjunction(part, text) for part in conjunctions))


def needs(text: str) -> tuple[str, ...]:
    """The places in report.json that an expression looks at, aliases resolved."""
    return parse(text).paths


def require(expressions: Sequence[str], absent: Sequence[str]) -> None:
    """Reject, before a long run, gates on what the run will not produce.

    Args:
        expressions: Expressions that the user wrote.
        absent: Parts of report.json that will be null, like "accuracy" or "ratio.latency".

    Raises:
        UsageError: Names the gate, and the flag that would fill what it needs.
    """
    for text in expressions:
        for path in needs(text):
            if any(lies_in(path, part) for part in absent):
                raise _unfilled(text, path, filled_by(path))


def evaluate(expressions: Sequence[str], report: Mapping[str, Any]) -> tuple[Gate, ...]:
    """Judge a report, given as the dicts of its JSON.

    Raises:
        UsageError: An expression is malformed, or looks at what is null in this report.
    """
    return tuple(_evaluate(parse(text), report) for text in expressions)


def judge(document: ReportDocument, expressions: Sequence[str]) -> ReportDocument:
    """The report with its gates judged by ``expressions``; raises what ``evaluate`` does."""
    return replace(document, gates=evaluate(expressions, as_dict(document)))


def _evaluate(expression: Expression, report: Mapping[str, Any]) -> Gate:
    values = {path: _value(path, expression.text, report) for path in expression.paths}
    failed = any(
        all(COMPARE[c.relation](values[c.path], c.limit) for c in all_of)
        for all_of in expression.any_of
    )
    return Gate(expression.text, values[expression.paths[0]], not failed, values)


def _value(path: str, text: str, report: Mapping[str, Any]) -> float:
    found: Any = report
    for key in path.split("."):
        part, found = found, found.get(key) if isinstance(found, Mapping) else None
    if not isinstance(found, (int, float)):
        if isinstance(part, Mapping) and path.startswith(("parity.", "surgery.")):
            raise UsageError(f"gate {text!r}: {path} was not a finite number; treat it as failed")
        raise _unfilled(text, path, _not_comparable(path, report) or filled_by(path))
    return found


def _not_comparable(path: str, report: Mapping[str, Any]) -> str | None:
    """Why a baseline has no figure: it was measured on another machine, or with other settings."""
    differs = (report.get(BASELINE) or {}).get("differs")
    if not differs or not path.startswith(f"{BASELINE}."):
        return None
    return f"the baseline was not measured alike: {'; '.join(differs)}; measure it again here"


def _unfilled(text: str, path: str, advice: str) -> UsageError:
    return UsageError(f"gate {text!r}: {path} has no value in this report; {advice}")


_COMPARISON = re.compile(
    r"\s*(?P<path>[A-Za-z_][\w.]*)\s*(?P<relation><=|>=|==|!=|<|>)\s*(?P<limit>.+)",
    re.ASCII | re.DOTALL,
)


def _conjunction(part: str, text: str) -> tuple[Condition, ...]:
    return tuple(_comparison(one, text) for one in re.split(r"\s+and\s+", part))


def _comparison(one: str, text: str) -> Condition:
    found = _COMPARISON.fullmatch(one)
    limit = _limit(found, text) if found else None
    if not found or limit is None:
        raise UsageError(
            f"gate {text!r}: cannot read {one.strip()!r}; write PATH OP NUMBER[UNIT], "
            "like 'latency.ratio.high > 0.8' or 'accuracy.drop > 1%'"
        )
    path, value = _path(found["path"], text), limit.value
    _require_fit(path, limit, text)
    if not math.isfinite(value) or (dimension(path) == "fraction" and abs(value) > 1):
        plain = found["limit"].strip()
        example = "" if limit.kind else f"; {plain} per cent is {plain}%"
        raise UsageError(f"gate {text!r}: {found['path']} cannot be as large as {value:g}{example}")
    return Condition(path, found["relation"], value)


def _limit(found: re.Match[str], text: str) -> units.Quantity | None:
    """The number behind the relation; None where there is none."""
    try:
        return units.parse(found["limit"])
    except units.UnknownUnit as error:
        _path(found["path"], text)  # a path that is wrong too is named first
        known = ", ".join(units.UNITS)
        raise UsageError(f"gate {text!r}: {error}; there are {known}") from error
    except ValueError:
        return None


def _path(written: str, text: str) -> str:
    path = ALIASES.get(written, written)
    if path in numeric_paths():
        return path
    close = difflib.get_close_matches(written, [*ALIASES, *numeric_paths()], n=3)
    below = sorted(known for known in numeric_paths() if known.startswith(f"{path}."))
    hint = ", ".join(below[:6] or close) or "see report.json for what there is"
    raise UsageError(f"gate {text!r}: a report has no number at {written!r}; try {hint}")


def _require_fit(path: str, limit: units.Quantity, text: str) -> None:
    """Refuse a limit in a unit that is not for such figures."""
    wanted = "ratio" if dimension(path) == "fraction" else dimension(path)
    if limit.kind is None or wanted in (limit.kind, "any"):
        return
    fits = ", ".join(name for name, (_, kind) in units.UNITS.items() if kind == wanted)
    raise UsageError(f"gate {text!r}: {path} is not in {limit.unit}; its units are {fits}")
