"""The figures of a model: each a row of one table, read by all that shows or judges them.

A row makes its figure appear in "Before and after" (``rows.py``), gives gates its short names and
units (``paths.py``), divides it into ``ratio`` (``compare.py``) and, where it is marked, adds it to
the headline, the drawing of memory (``html/``) and the comparison with a baseline. What a row needs
besides is its field in the schema (``measured.py``) and whoever fills that.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from edgeprune import units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgeprune.report.document import Side

Source: TypeAlias = Literal["file", "measuring", "emulation"]


class Place(enum.Flag):
    """Where a figure is shown besides the main table."""

    NONE = 0
    TILE = enum.auto()
    PLOT = enum.auto()
    BASELINE = enum.auto()


TILE, PLOT, BASELINE = Place.TILE, Place.PLOT, Place.BASELINE


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that each model has.

    Attributes:
        key: Dotted path in a side of report.json.
        label: Name of its row, for people.
        unit: A key of ``units.PRINTERS``.
        filled_by: What has to run for it: nothing but the model's file, measuring, or counting
            instructions under emulation.
        alias: Short name in gates for the compressed model's; with ".ratio" behind it for the
            ratio. Empty: none.
        ratio: Key of compressed / original in ``ratio``, and of now / then in ``baseline``. Empty:
            none.
        on: Where it is shown besides the main table.
    """

    key: str
    label: str
    unit: str
    filled_by: Source = "file"
    alias: str = ""
    ratio: str = ""
    on: Place = Place.NONE

    def of(self, side: Side) -> float | None:
        """Its value for one model; None where it is not known."""
        found: Any = side
        for key in self.key.split("."):
            found = None if found is None else getattr(found, key)
        value: float | None = found
        return value

    @property
    def write(self) -> Callable[[float | None], str]:
        """How its value is written."""
        return units.PRINTERS[self.unit]

    @property
    def dimension(self) -> str:
        """The kind of its value, for the units of gates; a rate counts as a count."""
        return "count" if self.unit == "/s" else self.unit

    @property
    def part(self) -> str:
        """The key of a side that is null where it is not known."""
        return self.key.split(".")[0]

    @property
    def timed(self) -> bool:
        """Whether it is a latency, whose ratio is ``ratio.latency``, with an interval."""
        return self.part == "latency_s"


def shown_on(place: Place) -> Iterator[Figure]:
    """The figures that are shown there."""
    return (figure for figure in FIGURES if place in figure.on)


def with_ratio() -> Iterator[Figure]:
    """The figures that ``ratio`` has."""
    return (figure for figure in FIGURES if figure.ratio)


def dimension(key: str) -> str | None:
    """The kind of number at a path in a side of report.json; None where there is none."""
    known = {figure.key: figure.dimension for figure in FIGURES}
    return {**DETAILS, **known}.get(key)


FIGURES: tuple[Figure, ...] = (
    Figure("macs", "MACs", "count", alias="macs", ratio="macs", on=TILE | BASELINE),
    Figure("params", "parameters", "count", alias="params", ratio="params", on=BASELINE),
    Figure("onnx.bytes", "file size", "bytes", "file", "size", "bytes", TILE | PLOT | BASELINE),
    Figure("peak_activation_bytes", "peak activations", "bytes", alias="peak_activation", on=PLOT),
    Figure("latency_s.p5", "latency, p5", "s", "measuring"),
    Figure("latency_s.median", "latency, median", "s", "measuring", "latency.median"),
    Figure("latency_s.p90", "latency, p90", "s", "measuring", "latency.p90"),
    Figure("latency_s.p99", "latency, p99", "s", "measuring", "latency.p99"),
    Figure(
        *("instructions.per_inference", "instructions (arm64, emulated)", "count", "emulation"),
        *("instructions", "instructions"),
    ),
    Figure("inferences_per_s", "throughput", "/s", "measuring", "throughput"),
    Figure(
        *("peak_rss_bytes", "peak memory", "bytes", "measuring", "peak_rss", "peak_rss"),
        on=TILE | PLOT | BASELINE,
    ),
    Figure("load_peak_rss_bytes", "memory, loading", "bytes", "measuring"),
    Figure("idle_rss_bytes", "memory, idle", "bytes", "measuring", on=PLOT),
    Figure("run_peak_rss_bytes", "memory, running", "bytes", "measuring"),
    Figure(
        *("profile_peak_bytes", "memory, allocated", "bytes", "measuring"),
        *("profile_peak", "profile_peak"),
    ),
    Figure("load_s", "time to load", "s", "measuring"),
    Figure("first_s", "first inference", "s", "measuring"),
)

DETAILS: dict[str, str] = {
    "onnx.opset": "count",
    "latency_s.n": "count",
    "instructions.repeat": "ratio",
    "instructions.host_max_rel_diff": "ratio",
}
"""Numbers of a side that are no figures but describe how one was found, with their kinds."""
