"""Where the numbers are in report.json: their dotted paths, short names, and kinds.

The paths are read off the schema, so a gate with a misspelt one is refused before a long run.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from functools import cache
from typing import TYPE_CHECKING

from edgeprune.report.document import ReportDocument

if TYPE_CHECKING:
    from collections.abc import Iterator

ALIASES: dict[str, str] = {
    "latency.ratio": "ratio.latency.value",
    "latency.ratio.value": "ratio.latency.value",
    "latency.ratio.low": "ratio.latency.low",
    "latency.ratio.high": "ratio.latency.high",
    "latency.median": "compressed.latency_s.median",
    "latency.p90": "compressed.latency_s.p90",
    "latency.p99": "compressed.latency_s.p99",
    "macs.ratio": "ratio.macs",
    "params.ratio": "ratio.params",
    "size.ratio": "ratio.bytes",
    "peak_rss.ratio": "ratio.peak_rss",
    "instructions.ratio": "ratio.instructions",
    "instructions": "compressed.instructions.per_inference",
    "macs": "compressed.macs",
    "params": "compressed.params",
    "size": "compressed.onnx.bytes",
    "peak_rss": "compressed.peak_rss_bytes",
    "profile_peak": "compressed.profile_peak_bytes",
    "profile_peak.ratio": "ratio.profile_peak",
    "throughput": "compressed.inferences_per_s",
    "peak_activation": "compressed.peak_activation_bytes",
}
"""Short names that gates may use; absolute figures are the compressed model's."""

MEASURED: tuple[str, ...] = (
    "ratio.latency",
    "ratio.peak_rss",
    "ratio.profile_peak",
    *(
        f"{side}.{key}"
        for side in ("original", "compressed")
        for key in (
            *("latency_s", "load_s", "first_s", "inferences_per_s", "profile_peak_bytes"),
            *("peak_rss_bytes", "idle_rss_bytes", "load_peak_rss_bytes", "run_peak_rss_bytes"),
        )
    ),
)
"""Blocks that stay null when nothing is measured, as with --no-bench."""

BASELINE = "baseline"
"""The block that stays null without --baseline."""

COUNTED: tuple[str, ...] = (
    "ratio.instructions",
    "original.instructions",
    "compressed.instructions",
)
"""Blocks that are filled in place of ``MEASURED`` where instructions are counted."""

BENCH_LACKS: tuple[str, ...] = ("budget", "accuracy", "agreement", "surgery", "coverage")
"""Blocks that ``bench`` leaves null."""

BENCH_OF_ONE_LACKS: tuple[str, ...] = (*BENCH_LACKS, "compressed", "ratio", "parity")
"""Blocks that ``bench`` leaves null when there is nothing to compare with."""

FILLED_BY: dict[str, str] = {
    "accuracy": "--eval DIR with labelled images fills it",
    "agreement": "compress fills it where it has images to compare on (--images DIR)",
    **dict.fromkeys(COUNTED, "--device qemu-arm64 with two models fills it"),
    **dict.fromkeys(MEASURED, "leave out --no-bench, or give bench two models"),
    "compressed": "a compress run fills it, or bench with two models",
    "ratio": "a compress run fills it, or bench with two models",
    "parity": "a verified export fills it, or bench with two models of the same output shapes",
    "budget": "a compress run with a budget fills it",
    "runtime_parity": "another --runtime than onnxruntime fills it",
    BASELINE: "--baseline of bench and check fills it, from figures that both reports have",
}
"""For each block, how to get it; the first that a path lies in counts."""


@cache
def numeric_paths() -> frozenset[str]:
    """The dotted path of every single number that report.json can have."""
    return frozenset(_numbers(ReportDocument, ""))


def dimension(path: str) -> str:
    """The kind of figure at ``path``.

    Returns:
        "s", "bytes", "count", "ratio", "fraction" for a ratio that is never above 1, or "any".
    """
    first, last = path.split(".")[0], path.split(".")[-1]
    if first == "budget":
        return "any"
    if last == "n" or last in ("seed", "schema_version", "opset"):
        return "count"
    if first in ("accuracy", "agreement", "coverage") or last in ("argmax_agreement", "confidence"):
        return "fraction"
    if first in ("ratio", "surgery", "parity", "runtime_parity", BASELINE):
        return "any" if last == "max_abs_diff" else "ratio"
    if ".instructions." in path and last in ("repeat", "host_max_rel_diff"):
        return "ratio"
    if ".latency_s." in path or (last.endswith("_s") and not last.endswith("_per_s")):
        return "s"
    return "bytes" if last.endswith("bytes") else "count"


def filled_by(path: str) -> str:
    """What the user can do about a null at ``path``."""
    for block, advice in FILLED_BY.items():
        if path == block or path.startswith(f"{block}."):
            return advice
    return "only a compress run fills it"


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
