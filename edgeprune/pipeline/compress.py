"""The whole line: trace → prune → recover → export → verify → measure → report.

One call a stage. Each stage is also a function of its own package, works on what the one before
returned, and never changes the network it was given. Of several processes that ``torchrun``
started, all recover together, and the first alone exports, measures and writes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgeprune import costs, distributed, evaluation, units
from edgeprune.artifacts import PrunedModel, SourceModel, TracedModel
from edgeprune.deep_stack import with_room
from edgeprune.errors import ModelUnsupported, VerificationFailed
from edgeprune.export.weights import save_weights
from edgeprune.loading import wrap
from edgeprune.loading.run_directory import WEIGHTS
from edgeprune.pipeline import export_and_measure, measured_budget, precision
from edgeprune.pipeline.alternatives import alternatives
from edgeprune.pipeline.compared_outputs import compared_outputs
from edgeprune.pipeline.config import CompressConfig
from edgeprune.pipeline.pruning_stage import measured_against, pruned_within_budget
from edgeprune.pipeline.rebuilding import rebuilt_where_written
from edgeprune.pipeline.result import CompressionReport, RunFolder
from edgeprune.pipeline.stage_log import StageLog, Stages, no_stages
from edgeprune.pruning import (
    lock_failing,
    plan_file,
)
from edgeprune.recovery import recover
from edgeprune.report import assemble, compare, document, formats, gates
from edgeprune.report.coverage import coverage
from edgeprune.report.layers import layers
from edgeprune.report.runtime_rows import emulation_complaint
from edgeprune.tracing import trace

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from edgeprune.costs import Costs
    from edgeprune.images.reading import Part
    from edgeprune.loading.given_inputs import Example
    from edgeprune.recovery import RecoveryContext


SHORT = (
    "the images synthesized for {} do not match the original's BatchNorm statistics; "
    "trust the result as far as --eval or your own images show"
)


@with_room
def compress(
    model: nn.Module | SourceModel,
    example_input: Example = None,
    config: CompressConfig = CompressConfig(),  # noqa: B008 - frozen
    *,
    directory: Path | None = None,
    stages: Stages = no_stages,
    command: str = "",
) -> CompressionReport:
    """Compress a network.

    Args:
        model: Any network, or one that :func:`edgeprune.loading.load` read; never changed.
        example_input: A tensor or a shape, where the input cannot be inferred.
        config: Every setting.
        directory: Folder of the run's files; None, and in further processes: a temporary one.
        stages: Called with the name of each stage that starts; gives its progress callback.
        command: What the user typed, for the report.

    Returns:
        The compressed network and the report; ``failure`` is why measuring alone failed.

    Raises:
        EdgepruneError: One of its kinds, see ``errors.py``.
    """
    source = model if isinstance(model, SourceModel) else wrap(model, example_input)
    images, context, config = opened(source, config)
    folder = RunFolder(directory if distributed.first() else None)
    log, context = StageLog(stages), replace(context, folder=folder.path)
    surveyed = survey(source, config.keep, log)
    original = measured_against(source, config, folder.path, log)
    traced, pruned, budget = pruned_within_budget(surveyed, source, original, config, log)
    recovered = _saved(_recover(traced, pruned, config, context, log), folder.path, log)
    run = _so_far(surveyed[1], traced, recovered, source, log, config.seed)
    run = replace(run, command=command, budget=budget, original_file=original)
    run = _exported(run, source, recovered, config, folder.path, log)
    run = _evaluated(run, images, (source, pruned, recovered), log)
    others = alternatives(source, run.original_file, run.comparison, images, config, log)
    run = replace(run, alternatives=others)
    return CompressionReport(_judged(run, config, folder.path, log), recovered, folder)


def _so_far(
    counted: Costs,
    traced: TracedModel,
    recovered: PrunedModel,
    source: SourceModel,
    log: StageLog,
    seed: int,
) -> assemble.RunResult:
    """What is known once the network is recovered."""
    remaining = costs.count(recovered.module, source.input)
    return assemble.RunResult(
        command="",
        seed=seed,
        source=traced.source,
        original_costs=counted,
        compressed_costs=remaining,
        surgery=recovered.surgery,
        coverage=coverage(traced, counted),
        outputs=compared_outputs(source, recovered, seed, log),
        layers=layers((source.module, counted), (recovered.module, remaining)),
        recovery=recovered.recovered_by,
        stages=log.records,
    )


def _exported(
    run: assemble.RunResult,
    source: SourceModel,
    recovered: PrunedModel,
    config: CompressConfig,
    folder: Path,
    log: StageLog,
) -> assemble.RunResult:
    """Both networks as files, and how fast these run."""
    if config.target is None:
        log.skip("export")
    original = run.original_file or export_and_measure.export_original(source, config, folder, log)
    compressed = export_and_measure.export_compressed(source, recovered, config, folder, log)
    if compressed is not None and config.precision != "fp32":
        choice = precision.choose(source, recovered, compressed, config, log)
        run, compressed = replace(run, precision=choice), choice.file
    measured = export_and_measure.measure(original, compressed, config, log)
    return replace(
        run,
        original_file=original,
        compressed_file=compressed,
        comparison=measured,
        budget=measured_budget.settled(run.budget, original, compressed, measured),
    )


def _judged(
    run: assemble.RunResult, config: CompressConfig, folder: Path, log: StageLog
) -> document.ReportDocument:
    """The report, written before what it says may end the run; unmeasured, it has no gates."""
    parity, others = export_and_measure.on_runtimes(
        (run.original_file, run.compressed_file), config, log
    )
    whole = assemble.on_runtimes(assemble.assemble(run), parity, others)
    report = gates.judge(whole, () if log.failure else config.fail_if)
    formats.write(report, folder)
    if complaint := parity.complaint or emulation_complaint(report):
        raise VerificationFailed(f"{report.environment['runtime']}: {complaint}")
    return report


def opened(
    source: SourceModel, config: CompressConfig
) -> tuple[evaluation.Images, RecoveryContext, CompressConfig]:
    """What a run works with, found to be there before any long work; its part of the settings.

    Raises:
        UsageError: Images do not fit the network, or a gate is about what the run will not produce.
        DeviceFailed: The device cannot be reached, or lacks the runtime.
    """
    part: Part = "validation" if config.fits else "all"
    images = evaluation.open_images(source, config.eval_images, config.photographs, part)
    gates.require(config.fail_if, config.missing_figures(images))
    context = config.recovery_context(source)
    if distributed.first():
        return images, context, export_and_measure.reach(config)
    return evaluation.Images(None, None), context, config.recovery_alone


@with_room
def survey(
    source: SourceModel, keep: tuple[str, ...] = (), log: StageLog | None = None
) -> tuple[TracedModel, Costs]:
    """Find out what can be pruned, and what the network costs; changes nothing.

    Args:
        source: The network.
        keep: Globs of layer names that keep their channels.
        log: Records the stages.

    Returns:
        The network with its groups, those whose surgery fails the proof locked, and its costs.
    """
    log = log or StageLog()
    with log.stage("trace") as stage:
        traced = lock_failing(trace(source, keep=keep))
        traced = rebuilt_where_written(traced, source, keep)
        stage.detail = f"{len(traced.prunable)} of {len(traced.groups)} channel groups prunable"
    with log.stage("count") as stage:
        counted = costs.count(source.module, source.input, traced.record)
        stage.detail = f"{units.count(counted.macs)} MACs, {units.count(counted.params)} parameters"
    return traced, counted


def _recover(
    traced: TracedModel,
    pruned: PrunedModel,
    config: CompressConfig,
    context: RecoveryContext,
    log: StageLog,
) -> PrunedModel:
    if not config.recover:
        log.skip("recover")
        return pruned
    with log.stage("recover") as stage:
        context = replace(context, progress=stage.progress)
        recovered = recover(traced, pruned, config.recover, context)
        notes = [f"{step.method}: {step.detail}" for step in recovered.recovered_by]
        for step in recovered.recovered_by:
            if step.quality is not None and step.quality.falls_short:
                stage.status = "degraded"
                notes.append(SHORT.format(step.method))
        stage.detail = "; ".join(notes)
    return recovered


def _saved(recovered: PrunedModel, folder: Path, log: StageLog) -> PrunedModel:
    """The network, its plan and weights written; one that has no plain form keeps only its plan."""
    plan_file.write(recovered.plan, folder / plan_file.FILE_NAME)
    with log.stage("save") as stage:
        try:
            save_weights(recovered, folder / WEIGHTS)
        except ModelUnsupported as error:
            stage.status, stage.detail = "degraded", f"no {WEIGHTS}: {error}"
    return recovered


def _evaluated(
    run: assemble.RunResult,
    images: evaluation.Images,
    judged: tuple[SourceModel, PrunedModel, PrunedModel],
    log: StageLog,
) -> assemble.RunResult:
    """Accuracy, and agreement with the first, on the user's images where there are any."""
    if images.labelled is None and images.unlabelled is None:
        return run
    networks = [*(each.module for each in judged), *precision.runnable(run.precision)]
    if images.labelled is not None:
        with log.stage("accuracy") as stage:
            right = evaluation.right_answers(networks, images.labelled, stage.progress)
            whole, cut, final, *quantized = evaluation.accuracies(right)
            n, delivers = len(images.labelled), precision.delivers_quantized(run.precision)
            accuracy = compare.accuracy(
                n=n,
                original=whole,
                pruned=cut,
                recovered=final,
                quantized=next(iter(quantized), None),
                delivers_quantized=delivers,
                turned=evaluation.turned(right, -1 if delivers else 2),
            )
            doubt = evaluation.doubt(whole, images.labelled)
            notes = (*run.notes, doubt) if doubt else run.notes
            run = replace(run, accuracy=accuracy, notes=notes)
    if images.unlabelled is not None:
        with log.stage("agreement") as stage:
            found = evaluation.agreements(networks, images.unlabelled, stage.progress)
            cut, final, *quantized = found
            n, origin = len(images.unlabelled), str(images.unlabelled.folder)
            int8 = next(iter(quantized), None)
            agreement = document.Agreement(n, cut, final, origin, int8)
            run = replace(run, agreement=agreement)
    return run
