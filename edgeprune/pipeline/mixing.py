"""A quantized file made faster: layers that 8 bits slow down stay in float.

The runtime tells the time of every operator in the float file and in the 8-bit file. The fastest
mixture by these times is written as a third file, and kept if it is faster as a whole.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import onnx

from edgeprune import bench
from edgeprune.bench.operators import operator_times
from edgeprune.calibration.mixed_precision import float_layers, quantized_nodes
from edgeprune.errors import VerificationFailed
from edgeprune.export.calibrate import with_names
from edgeprune.pipeline.stage_log import marking_failure

if TYPE_CHECKING:
    from pathlib import Path

    from edgeprune.artifacts import ExportedModel, QuantizedModel
    from edgeprune.export.quantize import Quantize, Ranges
    from edgeprune.pipeline.config import CompressConfig
    from edgeprune.pipeline.stage_log import StageLog


def mixed(
    quantize: Quantize,
    prepared: Ranges,
    files: tuple[ExportedModel, QuantizedModel],
    config: CompressConfig,
    log: StageLog,
) -> QuantizedModel:
    """Find the layers that should stay float, and keep the mixture where it is faster.

    Args:
        quantize: How the file was quantized.
        prepared: The ranges that it was quantized with.
        files: The float file, and the quantized one.
        config: Where and how to measure.
        log: Records the stage.

    Returns:
        The faster quantized file, under the name of the one that was given.
    """
    exported, quantized = files
    if config.bench is None or config.bench.device.measures != "latency":
        return quantized
    path = quantized.path.with_name(f"mixed.{quantized.path.name}")
    with log.stage("mix precisions") as stage, marking_failure(stage):
        try:
            slower = _slower(exported.path, quantized.path, config.bench)
            if not slower:
                stage.detail = "no layer is faster in float"
                return quantized
            candidate = quantize.written(prepared, path, stage.progress, slower=slower)
            ratio = bench.compare(quantized.path, path, config.bench, stage.progress).latency
            stage.detail = (
                f"{len(slower)} nodes in float: {ratio.value:.2f}× ({ratio.low:.2f}-"
                f"{ratio.high:.2f}) of the latency with all in 8 bits"
            )
            if ratio.value < 1:
                path.replace(quantized.path)
                return replace(candidate, path=quantized.path)
        except VerificationFailed as error:
            stage.status, stage.detail = "degraded", f"all stay in 8 bits: {error}"
        finally:
            path.unlink(missing_ok=True)
    return quantized


def _slower(original: Path, quantized: Path, settings: bench.BenchSettings) -> tuple[str, ...]:
    """Nodes that the fastest mixture leaves in float; none where all or none would be."""
    times = [operator_times(path, settings) for path in (original, quantized)]
    if times[0] is None or times[1] is None:
        return ()
    models = with_names(onnx.load(original)), onnx.load(quantized)
    chosen = float_layers(models, (times[0], times[1]))
    return chosen if len(chosen) < len(quantized_nodes(models[1])) else ()
