"""Which precision is delivered: int8 only where it was measured to be faster, or the user insists.

Weights in 16-bit floats or 4-bit integers make a file smaller, not faster: who asks for them wants
that, and gets it.

Quantized networks are not faster by themselves: depthwise convolutions in 8 bits are slower on many
CPUs than in float. So both files of the compressed network run against each other, and the one
that is not delivered stays beside the other for whoever knows better.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgeprune.artifacts import PrecisionChoice, RatioInterval, SourceModel, part_of
from edgeprune.export.onnx_network import OnnxNetwork
from edgeprune.pipeline.config import STORED
from edgeprune.pipeline.export_and_measure import compared
from edgeprune.pipeline.mixing import mixed

if TYPE_CHECKING:
    from pathlib import Path

    from edgeprune.artifacts import (
        ExportedModel,
        Fidelity,
        PrunedModel,
        QuantizedModel,
    )
    from edgeprune.artifacts.quantized import Ground, Precision
    from edgeprune.export.store_weights import StoreWeights
    from edgeprune.pipeline.config import CompressConfig
    from edgeprune.pipeline.stage_log import StageLog

MOST_LOST = 0.02
"""Accuracy that ``auto`` lets int8 lose, as the float file expects it."""
MOST_ERROR = 0.1
"""Difference of outputs that ``auto`` allows where they are no scores of classes, relative."""
ROUNDED = {"nearest": "to the nearest code", "for outputs": "for their layers' outputs"}


def choose(
    source: SourceModel,
    recovered: PrunedModel,
    exported: ExportedModel,
    config: CompressConfig,
    log: StageLog,
) -> PrecisionChoice:
    """Quantize the compressed network, measure both files, and put the better in its place.

    Args:
        source: The original network.
        recovered: The compressed network.
        exported: Its float file, under the deliverable's name.
        config: Every setting; ``precision`` is not fp32.
        log: Records the stages.

    Returns:
        The choice; the deliverable has the name that ``exported`` had.

    Raises:
        VerificationFailed: If the quantized file is not what it should be.
    """
    assert config.target is not None
    network = SourceModel(recovered.module, recovered.input, source.name, source.sha256)
    if config.precision in STORED:
        return _smaller(network, exported, config, log, config.stored(source))
    path = beside(exported.path, "int8")
    with log.stage("quantize") as stage:
        quantize, progress = config.quantizer(source), stage.progress
        prepared = quantize.prepared(
            network, exported, config.target, part_of(progress, 0, 2), config.seed
        )
        quantized = quantize.written(prepared, path, part_of(progress, 1, 2))
        stage.detail = f"ranges of {prepared.origin}; {_summary(quantized)}"
    quantized = mixed(quantize, prepared, (exported, quantized), config, log)
    ratio, figure = _measured(exported, quantized, config, log)
    delivered, ground = decide(
        config.precision, ratio, quantized.fidelity, small=config.wants_small_file
    )
    choice = PrecisionChoice(
        config.precision, delivered, ground, quantized, exported, ratio, figure
    )
    return _in_place(choice) if delivered == "int8" else choice


def _smaller(
    network: SourceModel,
    exported: ExportedModel,
    config: CompressConfig,
    log: StageLog,
    store: StoreWeights,
) -> PrecisionChoice:
    """The file with weights in fewer bits; what it takes of the float file's time is told."""
    assert config.target is not None
    path = beside(exported.path, store.precision)
    with log.stage("store weights") as stage:
        made = store(network, exported, config.target, path, stage.progress, config.seed)
        stage.detail = _summary(made)
    ratio, figure = _measured(exported, made, config, log)
    return _in_place(
        PrecisionChoice(config.precision, store.precision, "smaller", made, exported, ratio, figure)
    )


def decide(
    asked: str, ratio: RatioInterval | None, fidelity: Fidelity, *, small: bool
) -> tuple[Precision, Ground]:
    """The precision to deliver, and why.

    Args:
        asked: ``int8`` or ``auto``.
        ratio: int8 / fp32 of what was measured; None where nothing was.
        fidelity: How true the quantized file is.
        small: Whether the user wants a small file more than a fast one.
    """
    if asked == "auto" and not true_enough(fidelity):
        return "fp32", "not true enough"
    if ratio is not None and ratio.high < 1:
        return "int8", "faster"
    if small:
        return "int8", "smaller"
    if ratio is not None:
        return "fp32", "not faster"
    return ("int8" if asked == "int8" else "fp32"), "not measured"


def true_enough(fidelity: Fidelity) -> bool:
    """Whether ``auto`` may deliver a quantized file; agreement alone counts toss-ups too."""
    if fidelity.expected_drop is None:
        return fidelity.relative_error <= MOST_ERROR
    return fidelity.expected_drop <= MOST_LOST


def beside(path: Path, precision: str) -> Path:
    """The name of the file that is not delivered: compressed.int8.onnx."""
    return path.with_name(f"{path.stem}.{precision}{path.suffix}")


def _summary(quantized: QuantizedModel) -> str:
    found = quantized.fidelity
    return (
        f"relative error {found.relative_error:.1%}, agreement {found.agreement:.1%} on "
        f"{found.n} images {found.origin}; weights rounded {ROUNDED[quantized.rounding]}; "
        f"{len(quantized.kept_float)} nodes stay float"
    )


def _measured(
    exported: ExportedModel, quantized: QuantizedModel, config: CompressConfig, log: StageLog
) -> tuple[RatioInterval | None, str]:
    """Quantized / fp32: of latencies with the interval, or of instructions, which need none."""
    found = None
    if config.bench is not None:
        stage = f"bench {quantized.path.suffixes[0][1:]} / fp32"
        found = compared(stage, (exported.path, quantized.path), config.bench, log)
    if found is None:
        return None, "latency"
    return found.ratio, "latency" if found.latency is not None else "instructions"


def _in_place(choice: PrecisionChoice) -> PrecisionChoice:
    """The quantized file under the deliverable's name, and the float file beside it."""
    place = choice.float_file.path
    aside = place.rename(beside(place, "fp32"))
    choice.quantized.path.rename(place)
    return replace(
        choice,
        quantized=replace(choice.quantized, path=place),
        float_file=replace(choice.float_file, path=aside),
    )


def runnable(choice: PrecisionChoice | None) -> tuple[OnnxNetwork, ...]:
    """The quantized file as a network to judge, delivered or not; empty where there is none."""
    return () if choice is None else (OnnxNetwork(choice.quantized.path),)


def delivers_quantized(choice: PrecisionChoice | None) -> bool:
    """Whether the deliverable is not the float file."""
    return choice is not None and choice.delivered != "fp32"
