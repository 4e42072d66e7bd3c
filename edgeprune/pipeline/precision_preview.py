"""What ``--precision`` would do, before anything is quantized: for a dry run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune import bench, units
from edgeprune.artifacts import ImageKind
from edgeprune.export.calibrate import LOOKED_AT, CalibrationInputs, made_inputs
from edgeprune.pipeline.config import STORED
from edgeprune.pipeline.precision import MOST_ERROR, MOST_LOST

if TYPE_CHECKING:
    from edgeprune.artifacts import SourceModel
    from edgeprune.export import Quantize
    from edgeprune.pipeline.config import CompressConfig


def foreseen(source: SourceModel, config: CompressConfig) -> dict[str, str]:
    """What is known of the quantized file beforehand; empty where none is asked for.

    Args:
        source: The network; not changed.
        config: Every setting.

    Raises:
        UsageError: If an option does not fit the network.
    """
    if config.precision == "fp32" or config.target is None:
        return {}
    if config.precision in STORED:
        return {"precision": f"{config.precision} weights, computed in float", "delivered": "yes"}
    quantize = config.quantizer(source)
    return {
        "precision": config.precision,
        "activations": _activations(quantize, config),
        "ranges": _ranges(quantize),
        "inputs": _inputs(source, quantize, config.seed),
        "delivered": _delivered(config),
    }


def _activations(quantize: Quantize, config: CompressConfig) -> str:
    elsewhere = config.bench is not None and not isinstance(config.bench.device, bench.LocalDevice)
    if quantize.activations == "auto" and elsewhere:
        assert config.bench is not None
        return f"as the processor of {config.bench.device.name} is fast with"
    return quantize.activation_type


def _ranges(quantize: Quantize) -> str:
    if quantize.image_free:
        return "from BatchNorm statistics alone"
    return f"from {quantize.count} images {quantize.images.origin}"


def _inputs(source: SourceModel, quantize: Quantize, seed: int) -> str:
    if quantize.images.kind is ImageKind.REAL and not quantize.input_range:
        return "as the images have them"
    looked_at = CalibrationInputs(quantize.images, LOOKED_AT, 0, quantize.input_range, seed)
    ranges = made_inputs(source, looked_at)[1]
    if None in ranges:
        return "the first layer stays float: the input's range is not known (--input-range)"
    return ", ".join(f"{low:.4g} to {high:.4g}" for low, high in filter(None, ranges))


def _delivered(config: CompressConfig) -> str:
    if config.bench is None:
        if config.precision == "int8" or config.wants_small_file:
            return "in any case, as nothing is measured"
        return "not at all, as nothing is measured"
    grounds = [] if config.wants_small_file else ["it is measured to be faster"]
    if config.precision == "auto":
        grounds.append(
            f"it is expected to lose at most {units.percent(MOST_LOST)} of accuracy, or where "
            f"outputs are no classes {units.percent(MOST_ERROR)} of them"
        )
    return f"if {' and '.join(grounds)}" if grounds else "in any case, as a small file is wanted"
