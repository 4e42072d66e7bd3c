"""A quantized file made faster: layers that 8 bits slow down stay in float.

The runtime tells the time of every operator in the float file and in the 8-bit file. The fastest
mixture by these times is written as a third file, and kept if it is faster as a whole.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import onnx

from edgeprune import bench, units
from edgeprune.bench.operators import operator_times
from edgeprune.calibration.mixed_precision import float_layers, quantized_nodes
from edgeprune.errors import VerificationFailed
from edgeprune.export.float_part import QUANTIZED
from edgeprune.pipeline.stage_log import marking_failure

if TYPE_CHECKING:
    from edgeprune.artifacts import ExportedModel, Progress, QuantizedModel
    from edgeprune.export.activation_ranges import Prepared
    from edgeprune.export.quantize import Quantize
    from edgeprune.pipeline.config import CompressConfig
    from edgeprune.pipeline.stage_log import StageLog


def mixed(
    quantize: Quantize,
    prepared: Prepared,
    files: tuple[ExportedModel, QuantizedModel],
    config: CompressConfig,
    log: StageLog,
) -> QuantizedModel:
    """Find the layers that should stay float, and keep the mixture where it is faster.

    Args:
        quantize: How the file was quantized.
        prepared: The ranges and codes that it was quantized with.
        files: The float file, and the quantized one.
        config: Where and how to measure.
        log: Records the stage.

    Returns:
        The faster quantized file, under the name of the one that was given.
    """
    quantized = files[1]
    if config.bench is None or config.bench.device.measures != "latency":
        return quantized
    path = quantized.path.with_name(f"mixed.{quantized.path.name}")
    with log.stage("mix precisions") as stage, marking_failure(stage):
        try:
            able = _able(prepared.known.model, quantized)
            slower = _slower(prepared.known.model, files, able, config.bench, stage.progress)
            if slower is None:
                stage.detail = f"{config.bench.runtime} does not tell how long operators take"
                return quantized
            if not 0 < len(slower) < len(able):
                stage.detail = f"{'every' if slower else 'no'} layer is faster in float"
                return quantized
            candidate = quantize.written(prepared, path, stage.progress, slower=slower)
            ratio = bench.compare(quantized.path, path, config.bench, stage.progress).latency
            measured = units.times(ratio.value, ratio.low, ratio.high)
            stage.detail = f"{len(slower)} nodes in float: {measured} of the latency in 8 bits"
            if ratio.value < 1:
                path.replace(quantized.path)
                return replace(candidate, path=quantized.path)
        except VerificationFailed as error:
            stage.status, stage.detail = "degraded", f"all stay in 8 bits: {error}"
        finally:
            path.unlink(missing_ok=True)
    return quantized


def _able(model: onnx.ModelProto, quantized: QuantizedModel) -> set[str]:
    """Nodes that compute in 8 bits in the quantized file, and could in float."""
    kinds = {node.name for node in model.graph.node if node.op_type in QUANTIZED}
    return (quantized_nodes(onnx.load(quantized.path)) & kinds) - quantized.kept_float.keys()


def _slower(
    model: onnx.ModelProto,
    files: tuple[ExportedModel, QuantizedModel],
    able: set[str],
    settings: bench.BenchSettings,
    progress: Progress,
) -> tuple[str, ...] | None:
    """Nodes that the fastest mixture leaves in float; None where the runtime tells no times."""
    times = [operator_times(file.path, settings, progress) for file in files]
    if times[0] is None or times[1] is None:
        return None
    return float_layers(model, able, (times[0], times[1]))
