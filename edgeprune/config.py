"""Every setting of a compression, with the defaults that work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprune import bench
from edgeprune.export import OnnxTarget
from edgeprune.pruning import Allocation, Budget, Criterion, Macs, Rebuild
from edgeprune.recovery import RecoveryMethod, equipped, takes_images
from edgeprune.recovery.auto import Auto
from edgeprune.report import paths

if TYPE_CHECKING:
    from pathlib import Path

    from edgeprune.artifacts import PruningPlan
    from edgeprune.evaluation import Images
    from edgeprune.pruning import PlanOptions


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
        images: Unlabelled images: recovery fits to them, and agreement with the original is
            reported on those that it did not see.
        fail_if: Expressions that the report must not make true.
        seed: Of everything that draws.
    """

    budget: Budget = Macs(0.5)  # noqa: RUF009 - frozen
    plan: PruningPlan | None = None
    criterion: Criterion = Rebuild()  # noqa: RUF009 - frozen
    allocation: Allocation = Allocation()  # noqa: RUF009 - frozen
    keep: tuple[str, ...] = ()
    recover: tuple[RecoveryMethod, ...] = (Auto(),)
    target: OnnxTarget | None = OnnxTarget()  # noqa: RUF009 - frozen
    bench: bench.BenchSettings | None = bench.BenchSettings()  # noqa: RUF009 - frozen
    eval_images: Path | None = None
    images: Path | None = None
    fail_if: tuple[str, ...] = ()
    seed: int = 0

    @property
    def choosing(self) -> PlanOptions:
        """How channels are chosen, as :func:`edgeprune.pruning.plan` takes it."""
        return {"criterion": self.criterion, "allocation": self.allocation, "seed": self.seed}

    @property
    def methods(self) -> tuple[RecoveryMethod, ...]:
        """The recovery methods with the run's images and seed."""
        return equipped(self.recover, self.images, self.seed)

    @property
    def fits(self) -> bool:
        """Whether recovery fits to the user's images."""
        return self.images is not None and any(map(takes_images, self.recover))

    def missing_figures(self, images: Images) -> tuple[str, ...]:
        """Blocks of the report that a run with these settings and images leaves empty."""
        missing = {
            ("accuracy",): images.labelled is None,
            ("agreement",): images.unlabelled is None,
            ("parity", "ratio.bytes"): self.target is None,
            paths.MEASURED: self.bench is None or self.target is None,
        }
        return tuple(block for blocks, absent in missing.items() if absent for block in blocks)
