"""Widths for a budget that only a measurement can tell: latency, and the size of the file.

Widths are chosen by a price that they do have: the time of each layer in the original, its
multiply-accumulates, its parameters. The pruned network is exported and measured as the deliverable
will be, and the price corrected by what came out, a few times (``budget_trials.py``). A file that
is quantized is measured so: where 8 bits alone are within the budget, no channel goes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from edgeprune.pipeline.budget_trials import CLOSE, Trials
from edgeprune.pruning.measured_budgets import MEASURED_BUDGETS
from edgeprune.report import document, sentences

if TYPE_CHECKING:
    from edgeprune.artifacts import (
        CountComparison,
        ExportedModel,
        LatencyComparison,
        PrunedModel,
        SourceModel,
        TracedModel,
    )
    from edgeprune.costs import Costs
    from edgeprune.pipeline.config import CompressConfig
    from edgeprune.pipeline.stage_log import StageLog


def prune_to_measured(
    surveyed: tuple[TracedModel, Costs],
    source: SourceModel,
    original: ExportedModel,
    config: CompressConfig,
    log: StageLog,
) -> tuple[TracedModel, PrunedModel, document.Budget]:
    """Choose widths until the exported network is within the budget.

    Args:
        surveyed: The network with its groups, and its costs.
        source: The network.
        original: Its ONNX file.
        config: Every setting; the budget is a measured one.
        log: Records the stage.

    Returns:
        The network with what had to be locked, the pruned network, and asked and reached.

    Raises:
        BudgetUnreachable: Names the nearest that was measured.
        UsageError: The original is within the budget as it is.
    """
    with log.stage("prune") as stage, TemporaryDirectory() as folder:
        run = Trials(surveyed, source, original, config, stage.progress, Path(folder))
        best = run.best()
        budget = run.budget_of(best)
        stage.detail = sentences.budget(budget)
        if budget.missed or best.pruned.surgery.rolled_back:
            stage.status = "degraded"
    return best.traced, best.pruned, budget


def settled(
    found: document.Budget | None,
    original: ExportedModel | None,
    compressed: ExportedModel | None,
    measured: LatencyComparison | CountComparison | None,
) -> document.Budget | None:
    """A measured budget with what the deliverable itself came to; any other as it is."""
    if found is None or found.kind not in MEASURED_BUDGETS or not (original and compressed):
        return found
    whole = found.original if found.original is not None else 1.0
    if MEASURED_BUDGETS[found.kind].unit == "bytes":
        share = compressed.bytes / original.bytes
    elif measured is not None:
        share = measured.ratio.value
    else:
        return found
    missed = share > found.asked / whole + CLOSE
    return replace(found, reached=share * whole, missed=missed)
