"""ExportedModel → QuantizedModel: weights stored in 16-bit floats or 4-bit integers, without data.

The file is smaller and computes in float, as fast as the float file (``decoded_weights.py``). Codes
of four bits are far apart, so weights are rounded for their layers' outputs, in the twin as for 8
bits; images judge what is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from edgeprune.artifacts import QuantizedModel, no_progress
from edgeprune.calibration import onnx_runs
from edgeprune.errors import UsageError
from edgeprune.export.calibrate import FEWEST, CalibrationInputs, calibrate, compared
from edgeprune.export.decoded_weights import (
    LEAST_FOR_CODES,
    check_codes,
    check_halves,
    nearest_codes,
    with_halves,
    with_stored_codes,
)
from edgeprune.export.quantize import PROVED_INPUTS
from edgeprune.export.quantized_checks import check_kernels
from edgeprune.export.quantized_file import write_quantized
from edgeprune.export.rounding_for_outputs import ForOutputs
from edgeprune.images.procedural import DeadLeaves

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

    from edgeprune.artifacts import ExportedModel, Progress, SourceModel
    from edgeprune.artifacts.quantized import Rounding
    from edgeprune.export.calibrate import Calibration
    from edgeprune.export.onnx import OnnxTarget
    from edgeprune.export.weight_rounding import WeightRounding
    from edgeprune.images.source import ImageSource


def four_bit_target(target: OnnxTarget) -> OnnxTarget:
    """How to export a network whose weights become 4-bit codes: at an opset that has these.

    Raises:
        UsageError: If another opset is asked for.
    """
    if target.opset is None:
        return replace(target, opset=LEAST_FOR_CODES)
    if target.opset < LEAST_FOR_CODES:
        raise UsageError(f"int4 needs --opset {LEAST_FOR_CODES} or more, not {target.opset}")
    return target


@dataclass(frozen=True, slots=True)
class StoreWeights:
    """Writes ONNX files whose weights take fewer bits, and that compute in float.

    Attributes:
        precision: fp16, or int4, where layers that hold next to no weights take 8 bits.
        images: Where the inputs come from that weights are rounded for, and that judge.
        count: Number of inputs that weights are rounded for.
        held_out: Number of further inputs that fidelity is measured on (more: surer, slower).
        weight_rounding: How weights become 4-bit codes; kept where it makes outputs on held-out
            inputs truer than the nearest codes do.
    """

    precision: Literal["fp16", "int4"]
    images: ImageSource = DeadLeaves()  # noqa: RUF009 - frozen
    count: int = 64
    held_out: int = 64
    weight_rounding: WeightRounding = ForOutputs()  # noqa: RUF009 - frozen

    def __call__(
        self,
        network: SourceModel,
        exported: ExportedModel,
        target: OnnxTarget,
        path: Path,
        progress: Progress | None = None,
        seed: int = 0,
    ) -> QuantizedModel:
        """Store an exported network's weights in fewer bits; the file appears whole and proved.

        Args:
            network: The network that was exported; not changed.
            exported: Its float file.
            target: How it was exported.
            path: The file to write; its folder exists.
            progress: Called with the share done and a text; None: no progress.
            seed: Random seed of the images.

        Raises:
            UsageError: If there are too few images.
            VerificationFailed: If the graph is not what it should be.
        """
        report = progress or no_progress
        report(0.0, "making images")
        known = calibrate(network, exported, target, self._inputs(seed))
        report(0.4, "rounding weights")
        made, rounding = self._stored(known)
        report(0.8, "proving the file")
        kernels = check_kernels(made, known.held_out[:PROVED_INPUTS])
        about = f"{self.precision} weights, computed in float32"
        file = write_quantized(made, known.model, about, path)
        report(1.0, "stored")
        return QuantizedModel(
            **file,
            activations="float",
            ranges={},
            kept_float={},
            kernels=kernels,
            fidelity=compared(known, made, {}),
            rounding=rounding,
        )

    def _stored(self, known: Calibration) -> tuple[onnx.ModelProto, Rounding]:
        """The graph with its weights in fewer bits, proved."""
        if self.precision == "fp16":
            halves = with_halves(known.model)
            check_halves(halves, known.model)
            return halves, "nearest"
        nearest = nearest_codes(known.model)
        chosen = self.weight_rounding(
            nearest, lambda names: onnx_runs.tensors(known.reference, names, known.fitting)
        )
        rounded = [replace(each, codes=chosen.get(each.node, each.codes)) for each in nearest]
        ways: dict[Rounding, onnx.ModelProto] = {"nearest": with_stored_codes(known.model, nearest)}
        if chosen:
            ways["for outputs"] = with_stored_codes(known.model, rounded)
        best = min(ways, key=lambda way: compared(known, ways[way], {}).relative_error)
        check_codes(ways[best], nearest)
        return ways[best], best

    def _inputs(self, seed: int) -> CalibrationInputs:
        """Where the inputs come from; 16-bit floats are rounded for none."""
        fitted = self.precision == "int4"
        return CalibrationInputs(
            images=self.images,
            count=self.count if fitted else FEWEST,
            held_out=self.held_out,
            ranges=(),
            seed=seed,
            twin=fitted,
        )
