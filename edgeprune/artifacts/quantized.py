"""quantize → QuantizedModel: a file with 8-bit weights and activations, and how true it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

    from edgeprune.artifacts.exported import ExportedModel
    from edgeprune.artifacts.measured import RatioInterval

Range: TypeAlias = tuple[float, float]
"""Lowest and highest value that a tensor's codes stand for, in the tensor's own units."""

ActivationType: TypeAlias = Literal["u8", "s8"]
"""Activations as unsigned bytes, which x86 is fast with, or as signed ones, which ARM prefers."""


Rounding: TypeAlias = Literal["nearest", "for outputs"]
"""How weights became codes."""


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How true a quantized file is to its float file, on inputs that nothing was fitted to.

    Attributes:
        relative_error: Root of the mean squared difference, as a share of the float output's root
            mean square; of the worst output.
        agreement: Share of positions with the same largest channel; of the worst output.
        clipped: Share of values beyond the range of their codes, by tensor.
        n: Number of inputs.
        origin: Where they are from, to follow "64 inputs".
        expected_drop: Accuracy that is lost if the float file's probabilities are right, a
            fraction; of the worst output. None where no output has scores of classes.
    """

    relative_error: float
    agreement: float
    clipped: dict[str, float]
    n: int
    origin: str
    expected_drop: float | None = None

    @property
    def most_clipped(self) -> float:
        """The largest share of clipped values among the tensors; 0 where none is quantized."""
        return max(self.clipped.values(), default=0.0)


@dataclass(frozen=True, slots=True)
class KernelProof:
    """The file as the runtime runs it, fused, against the file as it is written.

    Attributes:
        most_codes: Largest difference of any activation's code, each layer reading the same codes.
        max_rel_diff: Largest difference of an output, relative to its largest magnitude.
        n: Number of inputs.
    """

    most_codes: int
    max_rel_diff: float
    n: int


@dataclass(frozen=True, slots=True)
class QuantizedModel:
    """A quantized file, as exact as it was proved to be.

    Attributes:
        path: The file: ONNX with QuantizeLinear and DequantizeLinear around what is quantized, or
            with weights that are decoded when it is loaded.
        opset: Opset of the default operator domain.
        bytes: Size of the file.
        sha256: Digest of the file, in hexadecimal.
        activations: Type of the activations' codes; float where weights alone take fewer bits.
        ranges: Range of each quantized activation, by tensor.
        kept_float: Nodes that compute in float although they could be quantized, each with the
            reason.
        kernels: The proof that the runtime computes what the file says.
        fidelity: How true it is to the float file.
        rounding: How weights became codes: to the nearest, or to that of both neighbours which
            keeps the layer's outputs.
    """

    path: Path
    opset: int
    bytes: int
    sha256: str
    activations: ActivationType | Literal["float"]
    ranges: dict[str, Range]
    kept_float: dict[str, str]
    kernels: KernelProof
    fidelity: Fidelity
    rounding: Rounding = "nearest"


Precision: TypeAlias = Literal["fp32", "int8", "fp16", "int4"]
"""Precision of a file's weights; int8: of its activations too, the others compute in float."""

Ground: TypeAlias = Literal["faster", "smaller", "not faster", "not true enough", "not measured"]
"""Why a precision was chosen."""


@dataclass(frozen=True, slots=True)
class PrecisionChoice:
    """Which of two files of the same network is the deliverable, and why.

    Attributes:
        asked: What the user asked for: int8, fp16, int4, or auto.
        delivered: Precision of the deliverable.
        ground: Why.
        quantized: The quantized file, whichever is delivered.
        float_file: The float file, whichever is delivered.
        ratio: int8 / fp32 of the measured figure; None where nothing was measured.
        figure: What was measured: latency or instructions.
    """

    asked: str
    delivered: Precision
    ground: Ground
    quantized: QuantizedModel
    float_file: ExportedModel
    ratio: RatioInterval | None = None
    figure: str = "latency"

    @property
    def file(self) -> ExportedModel:
        """The deliverable, as a float file would be; its parity is that of the float file."""
        if self.delivered == "fp32":
            return self.float_file
        made = self.quantized
        return replace(
            self.float_file,
            path=made.path,
            opset=made.opset,
            bytes=made.bytes,
            sha256=made.sha256,
        )
