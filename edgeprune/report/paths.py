"""Where the numbers are in report.json: their dotted paths, short names, and kinds.

The paths are read off the schema, so a gate with a misspelt one is refused before a long run.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from functools import cache
from typing import TYPE_CHECKING

from edgeprune.report import figures
from edgeprune.report.document import ReportDocument
from edgeprune.report.figures import FIGURES

if TYPE_CHECKING:
    from collections.abc import Iterator

SIDES = ("original", "compressed")

ALIASES: dict[str, str] = {
    "latency.ratio": "ratio.latency.value",
    **{f"latency.ratio.{end}": f"ratio.latency.{end}" for end in ("value", "low", "high")},
    **{figure.alias: f"compressed.{figure.key}" for figure in FIGURES if figure.alias},
    **{f"{figure.alias}.ratio": f"ratio.{figure.ratio}" for figure in FIGURES if figure.ratio},
}
"""Short names that gates may use; absolute figures are the compressed model's."""


def _parts(filled_by: str) -> tuple[str, ...]:
    """The parts of a report that only one way of running a model fills."""
    found = [figure for figure in FIGURES if figure.filled_by == filled_by]
    ratios = [f"ratio.{figure.ratio}" for figure in found if figure.ratio]
    sides = [f"{side}.{figure.part}" for side in SIDES for figure in found]
    return tuple(dict.fromkeys((*ratios, *sides)))


MEASURED: tuple[str, ...] = ("ratio.latency", *_parts("measuring"))
"""Parts that stay null when nothing is measured, as with --no-bench."""

BASELINE = "baseline"
"""The part that stays null without --baseline."""

COUNTED: tuple[str, ...] = _parts("emulation")
"""Parts that are filled in place of ``MEASURED`` where instructions are counted."""

BENCH_LACKS: tuple[str, ...] = (
    *("budget", "accuracy", "agreement", "outputs", "surgery", "coverage", "fidelity"),
    "precision",
)
"""Parts that ``bench`` leaves null."""

BENCH_OF_ONE_LACKS: tuple[str, ...] = (*BENCH_LACKS, "compressed", "ratio", "parity")
"""Parts that ``bench`` leaves null when there is nothing to compare with."""

FILLED_BY: dict[str, str] = {
    "accuracy": "--eval DIR with labelled images fills it",
    "outputs": "a compress run fills it",
    "agreement": "compress fills it where it has images to compare on (--images DIR)",
    **dict.fromkeys(COUNTED, "--device qemu-arm64 with two models fills it"),
    **dict.fromkeys(MEASURED, "leave out --no-bench, or give bench two models"),
    "fidelity.expected_drop": "compress with --precision int8 or auto fills it where outputs are "
    "scores of classes; fidelity.relative_error is always there",
    "fidelity": "compress with --precision int8 or auto fills it",
    "precision": "compress with --precision int8 or auto fills it, measured without --no-bench",
    "compressed": "a compress run fills it, or bench with two models",
    "ratio": "a compress run fills it, or bench with two models",
    "parity": "a verified export fills it, or bench with two models of the same output shapes",
    "budget": "a compress run with a budget fills it",
    "runtime_parity": "another --runtime than onnxruntime fills it",
    BASELINE: "--baseline of bench and check fills it, from figures that both reports have",
}
"""What the user can do to fill a part of the report; the first that a path lies in counts."""

FRACTIONS = ("fidelity.agreement", "fidelity.expected_drop", "fidelity.clipped")
"""Further paths of figures that are never above 1."""


@cache
def numeric_paths() -> frozenset[str]:
    """The dotted path of every single number that report.json can have."""
    return frozenset(_numbers(ReportDocument, ""))


def dimension(path: str) -> str:
    """The kind of figure at ``path``.

    Returns:
        "s", "bytes", "count", "ratio", "fraction" for a ratio that is never above 1, or "any".
    """
    first, _, rest = path.partition(".")
    last = path.rpartition(".")[2]
    if first in SIDES:
        return figures.dimension(rest) or "any"
    if first == "budget" or last == "max_abs_diff":
        return "any"
    if last in ("n", "kernel_codes") or first in ("seed", "schema_version"):
        return "count"
    shares = first in ("accuracy", "agreement", "coverage", "outputs") or path in FRACTIONS
    return "fraction" if shares or last in ("argmax_agreement", "confidence") else "ratio"


def filled_by(path: str) -> str:
    """What the user can do about a null at ``path``."""
    for part, advice in FILLED_BY.items():
        if lies_in(path, part):
            return advice
    return "only a compress run fills it"


def lies_in(path: str, part: str) -> bool:
    """Whether a path is ``part`` of the report, or leads to something in it."""
    return path == part or path.startswith(f"{part}.")


def _numbers(schema: type, prefix: str) -> Iterator[str]:
    for name, kind in typing.get_type_hints(schema).items():
        for option in _options(kind):
            if dataclasses.is_dataclass(option) and isinstance(option, type):
                yield from _numbers(option, f"{prefix}{name}.")
            elif option in (int, float):
                yield prefix + name


def _options(kind: object) -> tuple[object, ...]:
    """The types a field may have: those of a union, or the one."""
    if isinstance(kind, types.UnionType):
        return typing.get_args(kind)
    return (kind,)
