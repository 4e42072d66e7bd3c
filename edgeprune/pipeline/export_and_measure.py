"""Both networks as files, and how fast these run: the stages after recovery."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from edgeprune import bench
from edgeprune.artifacts import PrunedModel, RuntimeParity, RuntimeRun, SourceModel
from edgeprune.artifacts.exported import COMPRESSED, ORIGINAL
from edgeprune.bench import instructions
from edgeprune.bench import on_runtimes as runtimes
from edgeprune.errors import DeviceFailed, ModelUnsupported, VerificationFailed
from edgeprune.export.quantize import activations_for
from edgeprune.pipeline.stage_log import marking_failure
from edgeprune.pruning import plan_file

if TYPE_CHECKING:
    from pathlib import Path

    from edgeprune.artifacts import CountComparison, ExportedModel, LatencyComparison
    from edgeprune.export import Target
    from edgeprune.pipeline.config import CompressConfig
    from edgeprune.pipeline.stage_log import StageLog

ExportJob: TypeAlias = "tuple[SourceModel | PrunedModel, Path, dict[str, str]]"
"""A network, its file, and what the file says of its origin."""


def export_original(
    source: SourceModel, config: CompressConfig, folder: Path, log: StageLog
) -> ExportedModel | None:
    """Export the network that went in; None where nothing is exported."""
    origin = {"source_name": source.name, "source_sha256": source.sha256}
    return _exported((source, folder / ORIGINAL, origin), config, log)


def export_compressed(
    source: SourceModel, pruned: PrunedModel, config: CompressConfig, folder: Path, log: StageLog
) -> ExportedModel | None:
    """Export what came of it, in the same way."""
    origin = {"source_name": source.name, "source_sha256": source.sha256}
    planned = {**origin, "plan_sha256": plan_file.digest(pruned.plan)}
    return _exported((pruned, folder / COMPRESSED, planned), config, log)


def _exported(job: ExportJob, config: CompressConfig, log: StageLog) -> ExportedModel | None:
    if config.target is None:
        return None
    for target in config.runtime_targets:
        _export_beside(target, config.seed, log, job)
    return export_one(config.target, config.seed, log, job)


def _export_beside(target: Target, seed: int, log: StageLog, job: ExportJob) -> None:
    """Export for a runtime that takes no ONNX; without the file, measuring there is what fails."""
    path = job[1].with_suffix(target.suffix)
    with log.stage(f"export {path.name}") as stage:
        try:
            target(job[0].module, job[0].input, path, job[2], stage.progress, seed)
        except (DeviceFailed, ModelUnsupported, VerificationFailed) as error:
            stage.status, stage.detail = "degraded", str(error)


def export_one(target: Target, seed: int, log: StageLog, job: ExportJob) -> ExportedModel:
    """Export one network as a stage of the run."""
    network, path, metadata = job
    with log.stage(f"export {path.stem}") as stage:
        exported = target(network.module, network.input, path, metadata, stage.progress, seed)
        parity = exported.parity
        differs = f"largest relative difference {parity.max_rel_diff:.1e} on {parity.n} inputs"
        flushed = (f"{exported.flushed} subnormal weights set to zero",) if exported.flushed else ()
        stage.detail = "; ".join((differs, *flushed, *exported.notes))
        stage.status = "degraded" if exported.notes else "ok"
    return exported


def reach(config: CompressConfig) -> CompressConfig:
    """Find out before long work whether the device and the runtime are there, and what it wants.

    Returns:
        The settings, with the codes of activations that the device's processor is fast with.

    Raises:
        DeviceFailed: They are not.
    """
    if config.bench is None or config.target is None:
        return config
    runtimes.require(config.bench.runtime, config.bench.device)
    bench.reach(config.bench)
    if not config.quantizes or config.quantize.activations != "auto":
        return config
    wanted = activations_for(bench.processor(config.bench))
    return replace(config, quantize=replace(config.quantize, activations=wanted))


def measure(
    original: ExportedModel | None,
    compressed: ExportedModel | None,
    config: CompressConfig,
    log: StageLog,
) -> LatencyComparison | CountComparison | None:
    """Both files where the settings say; None where nothing is measured."""
    if config.bench is None or original is None or compressed is None:
        log.skip("bench")
        return None
    return compared("bench", (original.path, compressed.path), config.bench, log)


def compared(
    stage_name: str, files: tuple[Path, Path], settings: bench.BenchSettings, log: StageLog
) -> LatencyComparison | CountComparison | None:
    """Two files in the quantity that the device measures; None where measuring failed."""
    measured = None
    with log.stage(stage_name) as stage, marking_failure(stage):
        compare_on_device = instructions.comparing_on(settings.device)
        measured = compare_on_device(*files, settings, stage.progress)
        stage.detail = "; ".join(measured.notes)
    return measured


def on_runtimes(
    files: tuple[ExportedModel | None, ...], config: CompressConfig, log: StageLog
) -> tuple[RuntimeParity, tuple[RuntimeRun, ...]]:
    """What another runtime computes against ONNX Runtime, and both models on further ones."""
    models = [file.path for file in files if file]
    found: tuple[RuntimeParity, tuple[RuntimeRun, ...]] = RuntimeParity(), ()
    if config.bench is None or not models or not config.beyond_onnxruntime or log.failure:
        return found
    with log.stage("runtimes") as stage, marking_failure(stage):
        parity = runtimes.parity_of(models, config.bench, stage.progress)
        others = runtimes.further(config.further_runtimes, models, config.bench, stage.progress)
        found = parity, others
    return found
