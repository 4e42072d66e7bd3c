"""The part of the schema that says how good the deliverable still is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprune.artifacts import RatioInterval  # noqa: TC001 - msgspec reads hints

if TYPE_CHECKING:
    from edgeprune.report.document import ReportDocument


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Accuracies on labelled images; ``drop`` is original − the deliverable's.

    ``low`` and ``high`` are the ends of its interval of 95 %, from the images on which one of both
    alone is right.
    """

    metric: str
    n: int
    original: float
    pruned: float
    recovered: float
    drop: float
    quantized: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """Share of images, none of them seen by recovery, where the top class is the original's."""

    n: int
    pruned: float
    recovered: float
    source: str
    quantized: float | None = None


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How true the quantized file is to the float file, on inputs that nothing was fitted to.

    ``relative_error`` is the root mean square of the difference over that of the float output;
    ``expected_drop`` the accuracy lost if the float file's probabilities are right, None where no
    output has scores of classes; ``clipped`` the largest share of values beyond their codes' range,
    ``layers`` that of each tensor.
    """

    relative_error: float | None
    agreement: float
    expected_drop: float | None
    clipped: float
    n: int
    source: str
    layers: dict[str, float]


@dataclass(frozen=True, slots=True)
class Precision:
    """Which precision is delivered, and why; ``ratio`` is int8 / fp32 of ``figure``.

    ``bytes`` is int8 / fp32 of the files' sizes, ``kept_float`` has the nodes that compute in float
    with the reason, ``activations`` the type of the codes of activations. ``beside`` is the file
    that is not delivered. ``kernel_codes`` is by how many codes the runtime's fused kernels differ
    from the file as it is written. ``rounding`` is how weights became codes.
    """

    asked: str
    delivered: str
    ground: str
    figure: str
    ratio: RatioInterval | None
    bytes: float
    activations: str
    kept_float: dict[str, str]
    kernel_codes: int
    beside: str
    rounding: str = "nearest"


def delivered(report: ReportDocument, found: Agreement) -> float:
    """The agreement of the deliverable, which may be the quantized file."""
    other = report.precision is not None and report.precision.delivered != "fp32"
    return found.quantized if other and found.quantized is not None else found.recovered
