"""ExportedModel → QuantizedModel: weights and activations in 8-bit integers, without data.

Order: prune, recover, export with BatchNorms folded, quantize. Weights are rounded by output
channel to signed codes. Ranges of activations are read off procedural images that run through the
network's twin (``calibration/twin.py``), exported as the network was. Bias correction and
equalisation (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", arXiv:1906.04721) add nothing beyond noise once weights are quantized by channel.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from edgeprune.artifacts import QuantizedModel, no_progress, part_of
from edgeprune.calibration import onnx_runs
from edgeprune.calibration.observers import MinMax
from edgeprune.errors import UsageError
from edgeprune.export import qdq
from edgeprune.export.activation_ranges import ways_to_range
from edgeprune.export.calibrate import FEWEST, CalibrationInputs, calibrate, compared
from edgeprune.export.float_part import float_part
from edgeprune.export.quantized_checks import check_kernels, check_outputs, check_weights
from edgeprune.export.quantized_file import write_quantized
from edgeprune.export.rounding_for_outputs import ForOutputs
from edgeprune.images.procedural import DeadLeaves

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import onnx

    from edgeprune.artifacts import (
        ActivationType,
        ExportedModel,
        Progress,
        Range,
        SourceModel,
    )
    from edgeprune.calibration.observers import Observer
    from edgeprune.export.activation_ranges import Prepared
    from edgeprune.export.float_part import FloatPart
    from edgeprune.export.onnx import OnnxTarget
    from edgeprune.export.weight_rounding import WeightRounding
    from edgeprune.images.source import ImageSource

FIRST_OPSET = 13
"""The first opset whose DequantizeLinear has a scale for each channel."""
ARM = ("aarch64", "arm64", "armv7l", "armv8l")
PROVED_INPUTS = 8
"""Inputs on which fused kernels are compared with what the file says."""


def require_opset(opset: int | None) -> None:
    """Refuse to quantize at an opset whose files cannot hold it.

    Raises:
        UsageError: Names the first opset that can.
    """
    if opset is None or opset < FIRST_OPSET:
        raise UsageError(f"int8 needs --opset {FIRST_OPSET} or more, not {opset}")


def activations_for(machine: str) -> ActivationType:
    """The codes of activations that a processor is fast with.

    Args:
        machine: Its kind, as ``platform.machine`` says there.
    """
    return "s8" if machine.lower() in ARM else "u8"


@dataclass(frozen=True, slots=True)
class Quantize:
    """Writes quantized ONNX files.

    Attributes:
        activations: Codes of activations: u8, s8, or auto: what this machine is fast with.
        ranges: How the range of an activation follows from its values.
        images: Where the inputs come from that values are read off.
        count: Number of inputs that ranges are read off (more: wider ranges, slower).
        held_out: Number of further inputs that fidelity is measured on (more: surer, slower).
        keep_float: Globs of names of nodes, or of layers, that stay float.
        image_free: Take ranges from BatchNorm statistics alone; images then only judge.
        input_range: Lowest and highest value of each input; empty: pixels' where the network
            plainly takes pixels, else unknown, and the first layer stays float.
        weight_rounding: How weights become codes; kept where it makes outputs on held-out inputs
            truer than the nearest codes do.
    """

    activations: Literal["auto", "u8", "s8"] = "auto"
    ranges: Observer = MinMax()  # noqa: RUF009 - frozen
    images: ImageSource = DeadLeaves()  # noqa: RUF009 - frozen
    count: int = 256
    held_out: int = 64
    keep_float: tuple[str, ...] = ()
    image_free: bool = False
    input_range: tuple[Range, ...] = ()
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
        """Quantize an exported network; the file appears whole and proved, or not at all.

        Args:
            network: The network that was exported; not changed.
            exported: Its float file.
            target: How it was exported.
            path: The file to write; its folder exists.
            progress: Called with the share done and a text; None: no progress.
            seed: Random seed of the images.

        Raises:
            UsageError: If an option does not fit the network.
            VerificationFailed: If the quantized graph is not what it should be.
        """
        halves = part_of(progress, 0, 2), part_of(progress, 1, 2)
        return self.written(
            self.prepared(network, exported, target, halves[0], seed), path, halves[1]
        )

    def prepared(
        self,
        network: SourceModel,
        exported: ExportedModel,
        target: OnnxTarget,
        progress: Progress | None = None,
        seed: int = 0,
    ) -> Prepared:
        """Find ranges of activations and codes of weights; what follows is quick.

        It takes and raises what calling the object does.
        """
        require_opset(exported.opset)
        report = progress or no_progress
        report(0.0, "exporting the network's twin")
        known = calibrate(network, exported, target, self._inputs(seed))
        report(0.7, "reading ranges")
        plain = replace(self, images=DeadLeaves())
        ways = ways_to_range(
            network,
            known,
            self._observer,
            lambda: calibrate(network, exported, target, plain._inputs(seed)),
        )
        best = min(ways, key=self._error) if len(ways) > 1 else ways[0]
        report(0.9, "rounding weights")
        return self._rounded(best)

    def written(
        self,
        prepared: Prepared,
        path: Path,
        progress: Progress | None = None,
        *,
        slower: Collection[str] = (),
    ) -> QuantizedModel:
        """Quantize with known ranges, prove the graph and write it.

        Args:
            prepared: From :meth:`prepared`.
            path: The file to write; its folder exists.
            progress: Called with the share done and a text; None: no progress.
            slower: Names of nodes that stay float because 8 bits were measured to be slower there.

        Raises:
            UsageError: If an option does not fit the network.
            VerificationFailed: If the quantized graph is not what it should be.
        """
        report = progress or no_progress
        report(0.0, "quantizing")
        part = self._float_part(prepared, slower)
        quantized = self._written(prepared, part)
        report(0.4, "proving the quantized file")
        made = self._proved(prepared, quantized, part, path)
        report(1.0, "quantized")
        return made

    def _float_part(self, prepared: Prepared, slower: Collection[str] = ()) -> FloatPart:
        """What stays float."""
        known = prepared.known
        return float_part(
            known.model,
            unknown_inputs=[name for name, each in known.input_ranges.items() if each is None],
            keep=self.keep_float,
            slower=slower,
            unranged=set(known.floats) - prepared.ranges.keys(),
        )

    def _rounded(self, prepared: Prepared) -> Prepared:
        """With the codes of weights that make outputs truer on held-out inputs than the nearest."""
        if self.image_free:  # no image is looked at
            return prepared
        known, plain = prepared.known, self._written(prepared)
        chosen = self.weight_rounding(
            list(qdq.weight_codes(plain, known.model)),
            lambda names: onnx_runs.tensors(known.reference, names, known.fitting),
        )
        rounded = replace(prepared, codes=chosen)
        return min((prepared, rounded), key=self._error) if chosen else prepared

    def _error(self, prepared: Prepared) -> float:
        """The error of outputs on inputs that were held out."""
        return compared(prepared.known, self._written(prepared), {}).relative_error

    def _written(self, prepared: Prepared, part: FloatPart | None = None) -> onnx.ModelProto:
        """The quantized graph, its weights rounded as was found best."""
        known = prepared.known
        part = part or self._float_part(prepared)
        made = qdq.write_qdq(known.model, prepared.ranges, part, self.activation_type)
        return qdq.with_codes(made, prepared.codes)

    def _proved(
        self,
        prepared: Prepared,
        quantized: onnx.ModelProto,
        part: FloatPart,
        path: Path,
    ) -> QuantizedModel:
        """Check the graph, and write it."""
        known, ranges = prepared.known, prepared.ranges
        check_weights(quantized, known.model, nearest=not prepared.codes)
        check_outputs(quantized, known.model)
        kernels = check_kernels(quantized, known.held_out[:PROVED_INPUTS])
        used = {name: ranges[name] for name in qdq.quantized_activations(quantized)}
        found = compared(known, quantized, used)
        about = f"int8, activations {self.activation_type}"
        file = write_quantized(quantized, known.model, about, path)
        return QuantizedModel(
            **file,
            activations=self.activation_type,
            ranges=used,
            kept_float=part.nodes,
            kernels=kernels,
            fidelity=found,
            rounding="for outputs" if prepared.codes else "nearest",
        )

    @property
    def activation_type(self) -> ActivationType:
        """Type of the activations' codes, ``auto`` resolved for this machine."""
        if self.activations != "auto":
            return self.activations
        return activations_for(platform.machine())

    @property
    def _observer(self) -> Observer | None:
        """How ranges follow from values; None: no image is looked at."""
        return None if self.image_free else self.ranges

    def _inputs(self, seed: int) -> CalibrationInputs:
        """Where the inputs come from, that are read off or judge."""
        return CalibrationInputs(
            images=self.images,
            count=FEWEST if self.image_free else self.count,
            held_out=self.held_out,
            ranges=self.input_range,
            seed=seed,
            twin=not self.image_free,
        )
