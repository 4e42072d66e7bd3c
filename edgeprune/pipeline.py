"""The whole line: trace → prune → recover → export → verify → measure → report.

One call a stage. Each stage is also a function of its own package, works on what the one before
returned, and never changes the network it was given.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgeprune import bench, costs, evaluation
from edgeprune.artifacts import PrunedModel, PruningPlan, SourceModel, TracedModel
from edgeprune.errors import ModelUnsupported, UsageError
from edgeprune.export import OnnxTarget
from edgeprune.export.weights import save_weights
from edgeprune.loading import wrap
from edgeprune.pruning import (
    Allocated,
    Allocation,
    Budget,
    Criterion,
    L2Norm,
    Macs,
    lock_failing,
    plan_file,
    prune,
    prune_to_budget,
)
from edgeprune.recovery import RecoveryMethod, recover
from edgeprune.recovery.auto import Auto
from edgeprune.report import assemble, compare, document, formats, gates, paths
from edgeprune.report.coverage import coverage
from edgeprune.report.stage_log import StageLog, Stages, Status, unheard
from edgeprune.tracing import trace

if TYPE_CHECKING:
    from torch import nn

    from edgeprune.artifacts import Comparison, ExportedModel
    from edgeprune.costs import Costs
    from edgeprune.loading.input_shape import Example

WEIGHTS = "compressed.safetensors"
ORIGINAL = "original.onnx"
COMPRESSED = "compressed.onnx"


@dataclass(frozen=True, slots=True)
class CompressConfig:
    """Every setting of a compression.

    Attributes:
        budget: What to reach.
        plan: A plan to replay; the budget, the criterion and the allocation then do nothing.
        criterion: How channels are scored.
        allocation: How the budget is spread over groups.
        keep: Globs of layer names that keep their channels.
        recover: Recovery methods, in the order of application.
        target: How to export; None: do not.
        bench: Where and how to measure; None: do not.
        eval_images: Labelled images, one sub-folder a class: accuracy is reported.
        images: Unlabelled images: agreement with the original is reported.
        fail_if: Expressions that the report must not make true.
        seed: Of everything that draws.
    """

    budget: Budget = Macs(0.5)  # noqa: RUF009 - frozen
    plan: PruningPlan | None = None
    criterion: Criterion = L2Norm()  # noqa: RUF009 - frozen
    allocation: Allocation = Allocation()  # noqa: RUF009 - frozen
    keep: tuple[str, ...] = ()
    recover: tuple[RecoveryMethod, ...] = (Auto(),)
    target: OnnxTarget | None = OnnxTarget()  # noqa: RUF009 - frozen
    bench: bench.BenchSettings | None = bench.BenchSettings()  # noqa: RUF009 - frozen
    eval_images: Path | None = None
    images: Path | None = None
    fail_if: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True, slots=True)
class CompressionReport:
    """What came out.

    Attributes:
        document: The report, as report.json has it.
        compressed: The compressed network; ``compressed.module`` is an ``nn.Module``.
        directory: Where the run's files lie: the plan, the weights, both ONNX files, the report.
    """

    document: document.ReportDocument
    compressed: PrunedModel
    directory: Path
    _keeper: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)

    @property
    def ratio(self) -> document.Ratio | None:
        """Compressed / original: MACs, parameters, bytes, latency with its interval."""
        return self.document.ratio

    def save(self, directory: Path | str) -> Path:
        """Put the run's files into ``directory``, all of them or none.

        Raises:
            UsageError: If the directory exists already.
        """
        target = Path(directory)
        if target.exists():
            raise UsageError(f"'{target}' exists already: choose another directory")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as draft:
            copied = shutil.copytree(self.directory, Path(draft) / target.name)
            copied.rename(target)
        return target


def compress(
    model: nn.Module | SourceModel,
    example_input: Example = None,
    config: CompressConfig = CompressConfig(),
    *,
    directory: Path | None = None,
    stages: Stages = unheard,
    command: str = "",
) -> CompressionReport:
    """Compress a network.

    Args:
        model: Any network, or one that :func:`edgeprune.loading.load` read; never changed.
        example_input: A tensor or a shape, where the input cannot be inferred.
        config: Every setting.
        directory: Where to write the run's files; a temporary one that lives as long as the
            report unless given.
        stages: Told what runs, and how far it is.
        command: What the user typed, for the report.

    Returns:
        The compressed network and the report.

    Raises:
        EdgepruneError: One of its kinds, each with its exit code: see ``errors.py``.
    """
    gates.require(config.fail_if, _missing_figures(config))
    keeper = tempfile.TemporaryDirectory(prefix="edgeprune-") if directory is None else None
    folder = Path(keeper.name) if keeper else directory or Path()
    source = model if isinstance(model, SourceModel) else wrap(model, example_input)
    log = StageLog(stages)

    traced, counted = survey(source, config.keep, log)
    traced, pruned, budget = _prune(traced, counted, config, log)
    recovered = _recover(traced, pruned, config, log)
    _save(recovered, folder, log)
    original, compressed = _export(source, recovered, config, folder, log)
    measured = _measure(original, compressed, config, log)
    accuracy, agreement = _evaluate(source, pruned, recovered, config, log)

    run = assemble.RunResult(
        command=command,
        seed=config.seed,
        source=source,
        budget=budget,
        original_costs=counted,
        compressed_costs=costs.count(recovered.module, source.input),
        original_file=original,
        compressed_file=compressed,
        comparison=measured,
        surgery=recovered.surgery,
        coverage=coverage(traced, counted),
        accuracy=accuracy,
        agreement=agreement,
        recovery=recovered.recovered_by,
        stages=log.records,
    )
    report = gates.judge(assemble.assemble(run), config.fail_if)
    formats.write(report, folder)
    return CompressionReport(report, recovered, folder, keeper)


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
        stage.detail = f"{len(traced.prunable)} of {len(traced.groups)} channel groups prunable"
    with log.stage("count") as stage:
        counted = costs.count(source.module, source.input)
        stage.detail = f"{counted.macs / 1e6:.1f} MMACs, {counted.params / 1e6:.2f} M parameters"
    return traced, counted


def _prune(
    traced: TracedModel, counted: Costs, config: CompressConfig, log: StageLog
) -> tuple[TracedModel, PrunedModel, document.Budget]:
    with log.stage("prune") as stage:
        if config.plan is not None:
            pruned = prune(traced, config.plan)
            stage.detail = f"{len(config.plan.groups)} groups as planned"
            reached = costs.count(pruned.module, pruned.input).macs / counted.macs
            return traced, pruned, document.Budget("plan", reached, reached)
        traced, pruned, allocated = prune_to_budget(
            traced,
            counted,
            config.budget,
            criterion=config.criterion,
            allocation=config.allocation,
            seed=config.seed,
        )
        stage.detail = allocated.detail
        stage.status = _status(allocated, pruned)
    return traced, pruned, document.Budget(allocated.kind, allocated.asked, allocated.reached)


def _status(allocated: Allocated, pruned: PrunedModel) -> Status:
    return "ok" if allocated.on_target and not pruned.surgery.rolled_back else "degraded"


def _recover(
    traced: TracedModel, pruned: PrunedModel, config: CompressConfig, log: StageLog
) -> PrunedModel:
    with log.stage("recover") as stage:
        recovered = recover(traced, pruned, config.recover, stage.progress)
        stage.detail = "; ".join(f"{s.method}: {s.detail}" for s in recovered.recovered_by)
    return recovered


def _save(recovered: PrunedModel, folder: Path, log: StageLog) -> None:
    """Write the plan and the weights; a network that has no plain form keeps only its plan."""
    folder.mkdir(parents=True, exist_ok=True)
    plan_file.write(recovered.plan, folder / plan_file.FILE_NAME)
    with log.stage("save") as stage:
        try:
            save_weights(recovered, folder / WEIGHTS)
        except ModelUnsupported as error:
            stage.status, stage.detail = "degraded", f"no {WEIGHTS}: {error}"


def _export(
    source: SourceModel,
    recovered: PrunedModel,
    config: CompressConfig,
    folder: Path,
    log: StageLog,
) -> tuple[ExportedModel | None, ExportedModel | None]:
    """Export original and compressed in the same way."""
    if config.target is None:
        log.skip("export")
        return None, None
    origin = {"source_name": source.name, "source_sha256": source.sha256}
    with log.stage("export original") as stage:
        original = config.target(
            source.module, source.input, folder / ORIGINAL, origin, stage.progress, config.seed
        )
        stage.status, stage.detail = _exported(original)
    with log.stage("export compressed") as stage:
        planned = {**origin, "plan_sha256": plan_file.digest(recovered.plan)}
        compressed = config.target(
            recovered.module,
            source.input,
            folder / COMPRESSED,
            planned,
            stage.progress,
            config.seed,
        )
        stage.status, stage.detail = _exported(compressed)
    return original, compressed


def _exported(exported: ExportedModel) -> tuple[Status, str]:
    parity = exported.parity
    agreement = f"largest relative difference {parity.max_rel_diff:.1e} on {parity.n} inputs"
    return ("degraded" if exported.notes else "ok"), "; ".join((agreement, *exported.notes))


def _measure(
    original: ExportedModel | None,
    compressed: ExportedModel | None,
    config: CompressConfig,
    log: StageLog,
) -> Comparison | None:
    if config.bench is None or original is None or compressed is None:
        log.skip("bench")
        return None
    with log.stage("bench") as stage:
        measured = bench.compare(original.path, compressed.path, config.bench, stage.progress)
        stage.detail = "; ".join(measured.notes)
    return measured


def _evaluate(
    source: SourceModel,
    pruned: PrunedModel,
    recovered: PrunedModel,
    config: CompressConfig,
    log: StageLog,
) -> tuple[document.Accuracy | None, document.Agreement | None]:
    """Accuracy and agreement on the user's images, where there are any."""
    accuracy = agreement = None
    if config.eval_images is not None:
        with log.stage("accuracy") as stage:
            labelled = evaluation.labelled(config.eval_images, source.input)
            networks = [source.module, pruned.module, recovered.module]
            shares = evaluation.accuracies(networks, labelled, stage.progress)
            accuracy = compare.accuracy(
                n=len(labelled),
                **dict(zip(("original", "pruned", "recovered"), shares, strict=True)),
            )
    if config.images is not None:
        with log.stage("agreement") as stage:
            unlabelled = evaluation.unlabelled(config.images, source.input)
            shares = evaluation.agreements(
                source.module, [pruned.module, recovered.module], unlabelled, stage.progress
            )
            agreement = document.Agreement(len(unlabelled), *shares, source=str(config.images))
    return accuracy, agreement


def _missing_figures(config: CompressConfig) -> tuple[str, ...]:
    """Blocks of the report that a run with these settings leaves empty."""
    missing = {
        ("accuracy",): config.eval_images is None,
        ("agreement",): config.images is None,
        ("parity", "ratio.bytes"): config.target is None,
        paths.MEASURED: config.bench is None or config.target is None,
    }
    return tuple(block for blocks, absent in missing.items() if absent for block in blocks)
