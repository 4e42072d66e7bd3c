"""The stage that chooses channels and cuts: by a plan, by counting, or by measuring.

A replayed plan is only carried out. A budget of multiply-accumulates, parameters or channels is met
by counting (``pruning/``), one of latency or bytes by measuring (``measured_budget.py``).
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from edgeprune import costs
from edgeprune.artifacts import no_progress
from edgeprune.deep_stack import with_room
from edgeprune.pipeline import export_and_measure, measured_budget
from edgeprune.pruning import plan, prune, prune_to_budget
from edgeprune.pruning.measured_budgets import MeasuredBudget
from edgeprune.report import document, sentences

if TYPE_CHECKING:
    from edgeprune.artifacts import (
        ExportedModel,
        PrunedModel,
        PruningPlan,
        SourceModel,
        TracedModel,
    )
    from edgeprune.costs import Costs
    from edgeprune.pipeline.config import CompressConfig
    from edgeprune.pipeline.stage_log import StageLog
    from edgeprune.pruning import Allocated


@with_room
def planned(
    surveyed: tuple[TracedModel, Costs], source: SourceModel, config: CompressConfig, log: StageLog
) -> tuple[PruningPlan, document.Budget]:
    """The plan of a run with these settings, and what it reaches; recovers and writes nothing."""
    if not isinstance(config.budget, MeasuredBudget):
        watched = config.watched(source, no_progress)
        found = plan(*surveyed, config.budget, watched=watched, **config.choosing)
        return found.plan, budget_of(found.allocated)
    with TemporaryDirectory() as folder:
        ready = export_and_measure.reach(config)
        original = measured_against(source, ready, Path(folder), log)
        _, pruned, budget = pruned_within_budget(surveyed, source, original, ready, log)
    return pruned.plan, budget


def measured_against(
    source: SourceModel, config: CompressConfig, folder: Path, log: StageLog
) -> ExportedModel | None:
    """The original's file, which a measured budget needs before anything is cut."""
    if config.plan is None and isinstance(config.budget, MeasuredBudget):
        return export_and_measure.export_original(source, config, folder, log)
    return None


def pruned_within_budget(
    surveyed: tuple[TracedModel, Costs],
    source: SourceModel,
    original: ExportedModel | None,
    config: CompressConfig,
    log: StageLog,
) -> tuple[TracedModel, PrunedModel, document.Budget]:
    """Cut channels as the settings say.

    Args:
        surveyed: The network with its groups, and its costs.
        source: The network.
        original: Its file, from :func:`measured_against`.
        config: Every setting.
        log: Records the stage.

    Returns:
        The network with what had to be locked, the pruned network, and asked and reached.

    Raises:
        ModelUnsupported: No group may lose a channel.
        BudgetUnreachable: Names the nearest that can be reached.
        VerificationFailed: The cut is wrong, and no group is to blame.
    """
    if config.plan is not None:
        return _replayed(surveyed, config.plan, log)
    if isinstance(config.budget, MeasuredBudget):
        assert original is not None
        return measured_budget.prune_to_measured(surveyed, source, original, config, log)
    with log.stage("prune") as stage:
        watched = config.watched(source, stage.progress)
        traced, pruned, allocated = prune_to_budget(
            *surveyed, config.budget, watched=watched, **config.choosing
        )
        budget = budget_of(allocated)
        stage.detail = sentences.budget(budget)
        if not allocated.on_target or pruned.surgery.rolled_back:
            stage.status = "degraded"
    return traced, pruned, budget


def _replayed(
    surveyed: tuple[TracedModel, Costs], plan: PruningPlan, log: StageLog
) -> tuple[TracedModel, PrunedModel, document.Budget]:
    traced, counted = surveyed
    with log.stage("prune") as stage:
        pruned = prune(traced, plan)
        stage.detail = f"{len(plan.groups)} groups as planned"
        reached = costs.count(pruned.module, pruned.input).macs / counted.macs
    return traced, pruned, document.Budget("plan", reached, reached)


def budget_of(allocated: Allocated) -> document.Budget:
    """What was asked and reached, as a report has it."""
    return document.Budget(
        kind=allocated.kind,
        asked=allocated.asked,
        reached=allocated.reached,
        missed=not allocated.on_target,
        finer_unit=allocated.finer_unit,
        sensitivity=allocated.sensitivity,
    )
