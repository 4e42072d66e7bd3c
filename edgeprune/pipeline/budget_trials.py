"""Trials of widths for a measured budget: choose, cut, export, measure, correct."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, log
from typing import TYPE_CHECKING

from edgeprune import bench
from edgeprune.artifacts import part_of
from edgeprune.bench import instructions
from edgeprune.bench.pairing import median_latency
from edgeprune.bench.probe import channel_block
from edgeprune.errors import BudgetUnreachable, UsageError
from edgeprune.pipeline import export_and_measure, precision
from edgeprune.pipeline.layer_seconds import layer_seconds
from edgeprune.pipeline.stage_log import StageLog
from edgeprune.pruning import cost_model, prune_to_budget
from edgeprune.pruning.measured_budgets import MeasuredBudget
from edgeprune.report import document, sentences

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgeprune.artifacts import (
        ExportedModel,
        Progress,
        PrunedModel,
        RatioInterval,
        SourceModel,
        TracedModel,
    )
    from edgeprune.bench import BenchSettings
    from edgeprune.costs import Costs
    from edgeprune.pipeline.config import CompressConfig
    from edgeprune.pruning import Allocated, Allocation

TRIALS = 4
"""A first choice of widths, and three corrections."""

FLATTEST, STEEPEST = 0.25, 4.0
"""Bounds of the power by which a figure grows with its price: noise must not send trials astray."""

TRIAL_S = 8.0
"""Most seconds that measuring a trial takes."""

CLOSE = 0.03
"""A budget is met within this share of the original's figure."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A choice of widths and what it came to, as shares of the original.

    Attributes:
        aimed: Share of the price that was asked for.
        reached: The measured figure.
        traced: The network with the groups that were locked on the way.
        pruned: The pruned network.
        allocated: The choice.
    """

    aimed: float
    reached: float
    traced: TracedModel
    pruned: PrunedModel
    allocated: Allocated


class Trials:
    """The trials of one run.

    Args:
        surveyed: The network with its groups, and its costs.
        source: The network.
        original: Its ONNX file.
        config: Every setting; the budget is a measured one.
        progress: Told what is tried.
        folder: Folder for the files of trials.

    Raises:
        UsageError: The original is within the budget as it is.
    """

    def __init__(
        self,
        surveyed: tuple[TracedModel, Costs],
        source: SourceModel,
        original: ExportedModel,
        config: CompressConfig,
        progress: Progress,
        folder: Path,
    ) -> None:
        assert isinstance(config.budget, MeasuredBudget)
        self.wanted = config.budget
        self.traced, self.costs = surveyed
        self.source, self.original, self.config = source, original, config
        self.progress, self.folder = progress, folder
        self.settings = brief(config)
        if self.settings is not None and self.wanted.unit == "s":
            seconds = layer_seconds(original.path, self.settings, progress)
            self.costs = replace(self.costs, seconds=seconds)
        self.whole = self._figure(original)
        self.asked = self.wanted.share(self.whole)
        self.model = cost_model(self.traced, self.costs)
        self.aim = self.wanted.aim(1.0, self.model.prices)
        self.allocation = self._in_blocks()
        self.least = self._least()

    def best(self) -> Trial:
        """Try until a trial is close, and take the closest of those within the budget, or of all.

        Raises:
            BudgetUnreachable: The narrowest widths are too many.
        """
        trials: list[Trial] = []
        seen = [(1.0, 1.0)] if self.config.precision == "fp32" else []
        aim = next_aim(self.asked, seen, self.least) if seen else 1.0
        for number in range(TRIALS):
            self.progress(number / TRIALS, f"{self.wanted.kind}: trial {number + 1}")
            trials.append(self._tried(aim, part_of(self.progress, number, TRIALS)))
            seen.append((aim, trials[-1].reached))
            if self._enough(trials[-1]):
                break
            aim = next_aim(self.asked, seen, self.least)
            if any(abs(aim - tried) < CLOSE / 10 for tried, _ in seen):
                break
        within = [trial for trial in trials if trial.reached <= self.asked + CLOSE]
        if not within and min(trial.aimed for trial in trials) <= self.least:
            self._refuse(min(trial.reached for trial in trials))
        return min(within or trials, key=lambda trial: abs(trial.reached - self.asked))

    def budget_of(self, trial: Trial) -> document.Budget:
        """Asked, predicted and reached, in the unit that was asked in."""
        unit, whole = (self.wanted.unit, self.whole) if self.wanted.absolute else ("ratio", 1.0)
        return document.Budget(
            kind=self.wanted.kind,
            asked=self.asked * whole,
            reached=trial.reached * whole,
            unit=unit,
            missed=trial.reached > self.asked + CLOSE,
            predicted=trial.allocated.reached * whole,
            original=whole if self.wanted.absolute else None,
        )

    def _in_blocks(self) -> Allocation:
        """How widths are spread: in the blocks that the runtime computes, where that is known."""
        usual = self.config.choosing["allocation"]
        if self.settings is None or self.wanted.unit != "s" or usual.unit:
            return usual
        block = channel_block(self.settings, self.progress)
        return replace(usual, block=max(block, usual.block)) if block > 1 else usual

    def _least(self) -> float:
        """The least share of the price that any widths come to."""
        narrowest = replace(self.allocation, block=0).narrowest(self.model.groups)
        quantity = self.aim.quantity
        return float(self.model.at(quantity, narrowest)) / self.model.original(quantity)

    def _enough(self, trial: Trial) -> bool:
        """Whether no correction is worth its time; nothing is better than no channel lost."""
        unpruned = not trial.pruned.plan.groups and trial.reached <= self.asked
        return unpruned or abs(trial.reached - self.asked) <= CLOSE

    def _tried(self, aim: float, progress: Progress | None) -> Trial:
        traced, pruned, allocated = prune_to_budget(
            self.traced,
            self.costs,
            replace(self.aim, remaining=aim),
            watched=self.config.watched(self.source, progress),
            criterion=self.config.criterion,
            allocation=self.allocation,
            seed=self.config.seed,
        )
        exported = export_and_measure.export_compressed(
            self.source, pruned, self.config, self.folder, StageLog()
        )
        assert exported is not None
        if self.config.precision != "fp32":
            quick = replace(self.config, bench=self.settings)
            exported = precision.choose(self.source, pruned, exported, quick, StageLog()).file
        return Trial(aim, self._compared(exported), traced, pruned, allocated)

    def _figure(self, file: ExportedModel) -> float:
        """The measured figure of a file on its own."""
        if self.wanted.unit == "bytes" or self.settings is None:
            return float(file.bytes)
        if not self.wanted.absolute:
            return 1.0
        if self.settings.device.measures == "instructions":
            raise UsageError(
                f"--{self.wanted.kind}: the device counts instructions, which are no time; "
                "ask for a share of the original's, such as 50%"
            )
        return median_latency(bench.measure(file.path, self.settings, self.progress).blocks_s)

    def _compared(self, file: ExportedModel) -> float:
        """The measured figure of a file, as a share of the original's."""
        if self.wanted.unit == "bytes" or self.settings is None:
            return file.bytes / self.original.bytes
        return measured_ratio(self.original.path, file.path, self.settings, self.progress).value

    def _refuse(self, nearest: float) -> None:
        budget = document.Budget(self.wanted.kind, self.asked, nearest)
        raise BudgetUnreachable(
            f"--{self.wanted.kind} is out of reach: {sentences.budget(budget)} with the narrowest "
            "layers; allow narrower ones with a smaller --unit, or see with `edgeprune inspect` "
            "which groups are locked and why"
        )


def next_aim(asked: float, seen: Sequence[tuple[float, float]], least: float) -> float:
    """The share of the price to try next: where a power law through two trials meets the budget.

    The two are the nearest on both sides of it, or the two nearest where all lie on one side; with
    one trial the figure is taken to grow as the price does.

    Args:
        asked: Share of the original's figure to reach.
        seen: Shares of the price that were tried, each with the figure that came of it; one or
            more, all above 0.
        least: Smallest share of the price that any widths have.
    """
    nearest = sorted(seen, key=lambda trial: abs(log(trial[1] / asked)))
    under = [trial for trial in nearest if trial[1] <= asked][:1]
    over = [trial for trial in nearest if trial[1] > asked][:1]
    (share, figure), *others = under + over if under and over else nearest
    power = 1.0
    if others and others[0][0] != share and others[0][1] != figure:
        power = log(others[0][1] / figure) / log(others[0][0] / share)
    aim = share * exp(log(asked / figure) / min(STEEPEST, max(FLATTEST, power)))
    return min(1.0, max(least, aim))


def measured_ratio(
    original: Path, other: Path, settings: BenchSettings, progress: Progress
) -> RatioInterval:
    """Other / original of what the device measures."""
    return instructions.comparing_on(settings.device)(original, other, settings, progress).ratio


def brief(config: CompressConfig) -> BenchSettings | None:
    """How trials are measured; None where the run measures nothing."""
    return config.bench and replace(config.bench, seconds=min(TRIAL_S, config.bench.seconds))
