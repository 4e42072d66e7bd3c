"""alternatives → Alternative: what one could do instead of pruning, measured beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from edgeprune.artifacts.measured import RatioInterval  # noqa: TC001 - msgspec reads hints

Way: TypeAlias = Literal["smaller image", "int8 alone"]


@dataclass(frozen=True, slots=True)
class Alternative:
    """The untouched network made faster without removing anything.

    Attributes:
        kind: How.
        detail: Which: "24x24 pixels".
        latency: Alternative / original of what was measured: latency, or instructions; None where
            nothing was.
        bytes: Alternative / original of the file's size.
        outputs: Share of the variation of the original's outputs that it keeps on procedural
            images; None where that says nothing: such images have more fine detail than
            photographs, so that smaller ones of them lose more.
        accuracy: Accuracy on labelled images; None where there are none.
        agreement: Agreement with the original on unlabelled images; None where there are none.
    """

    kind: Way
    detail: str
    latency: RatioInterval | None
    bytes: float
    outputs: float | None = None
    accuracy: float | None = None
    agreement: float | None = None
