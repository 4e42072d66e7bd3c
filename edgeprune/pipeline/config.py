"""Every setting of a compression, with the defaults that work."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from edgeprune import bench, distributed
from edgeprune.bench import on_runtimes
from edgeprune.bench.runtimes import quantized_runtimes
from edgeprune.errors import UsageError
from edgeprune.export import TARGETS, OnnxTarget, Quantize, Target
from edgeprune.export.quantize import FIRST_OPSET, require_opset
from edgeprune.export.store_weights import StoreWeights, four_bit_target
from edgeprune.images import image_sets
from edgeprune.images.folder import Folder
from edgeprune.images.procedural import DeadLeaves
from edgeprune.pipeline.settings import reading_settings
from edgeprune.pruning import Allocation, Budget, Criterion, Macs, Rebuild, Watched
from edgeprune.pruning.measured_budgets import MEASURED_BUDGETS, MeasuredBudget
from edgeprune.recovery import RecoveryContext, RecoveryMethod, require_methods
from edgeprune.recovery.auto import Auto
from edgeprune.report import gates, paths

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Unpack

    from edgeprune.artifacts import Progress, PruningPlan, SourceModel
    from edgeprune.evaluation import Images
    from edgeprune.images.source import ImageSource
    from edgeprune.pipeline.settings import Settings
    from edgeprune.pruning import PlanOptions

STORED = ("fp16", "int4")
"""Precisions of weights alone: files that are smaller, and no faster."""

PRECISIONS = ("fp32", "fp16", "int8", "int4", "auto")

INT8_BLOCK = 16
"""Channels that kernels of 8-bit integers compute at once: ONNX Runtime's take longer for 12 than
for 16, and for 40 of a depthwise convolution than for 48 (``benchmarks/quantize/widths.py``)."""

SIZES = ("compressed.onnx.bytes", "ratio.bytes")
"""Figures whose gates say that the user wants a small file."""


@reading_settings
@dataclass(frozen=True, slots=True)
class CompressConfig:
    """Every setting of a compression.

    Names stand for methods, paths for files, ``macs=0.5`` for ``budget=Macs(0.5)``: ``settings.py``
    reads what is clear, and refuses the rest.

    Attributes:
        budget: What to reach: by counting, or by measuring the deliverable.
        plan: A plan to replay; the budget, the criterion and the allocation then do nothing.
        criterion: How channels are scored.
        allocation: How the budget is spread over groups.
        keep: Globs of layer names that keep their channels.
        recover: Recovery methods, in the order of application.
        target: How to export; None: do not.
        precision: Precision of the deliverable. ``int8``: quantized, unless that was measured and
            is not faster; ``auto``: quantized if that is faster and true enough; ``fp16`` and
            ``int4``: weights alone, for a smaller file that computes in float.
        quantize: How to quantize; its images are the run's own where there are any, and its
            rounding is that of ``int4`` too.
        bench: Where and how to measure; None: do not.
        further_runtimes: Runtimes to measure on too; one that fails is told in the report.
        alternatives: Whether to measure what one could do instead: the original on smaller images,
            and in 8 bits.
        eval_images: Labelled images, one sub-folder a class: accuracy is reported.
        images: Unlabelled images: recovery fits to them, and agreement with the original is
            reported on those that it did not see. A file: a set of images that an earlier run
            kept, to fit to.
        synthesis: Where recovery gets images that it fits to, if not from ``images``; None: each
            method has its own way.
        budget_time: Seconds that recovery may take, closed forms apart; two runs then no longer
            give the same weights. None: what it takes.
        workspace: A folder for the state of recovery methods that take long: a run with the same
            settings goes on from it. Not removed. None: nothing is kept.
        fail_if: Expressions that the report must not make true.
        seed: Random seed.
    """

    budget: Budget | MeasuredBudget = Macs(0.5)  # noqa: RUF009 - frozen
    plan: PruningPlan | None = None
    criterion: Criterion = Rebuild()  # noqa: RUF009 - frozen
    allocation: Allocation = Allocation()  # noqa: RUF009 - frozen
    keep: tuple[str, ...] = ()
    recover: tuple[RecoveryMethod, ...] = (Auto(),)
    target: OnnxTarget | None = OnnxTarget()  # noqa: RUF009 - frozen
    precision: Literal["fp32", "fp16", "int8", "int4", "auto"] = "fp32"
    quantize: Quantize = Quantize()  # noqa: RUF009 - frozen
    bench: bench.BenchSettings | None = bench.BenchSettings()  # noqa: RUF009 - frozen
    further_runtimes: tuple[str, ...] = ()
    alternatives: bool = True
    eval_images: Path | None = None
    images: Path | None = None
    synthesis: ImageSource | None = None
    budget_time: float | None = None
    workspace: Path | None = None
    fail_if: tuple[str, ...] = ()
    seed: int = 0

    if TYPE_CHECKING:

        def __init__(self, **settings: Unpack[Settings]) -> None:
            """Take settings as one writes them."""

    def __post_init__(self) -> None:
        """Refuse what a run cannot make.

        Raises:
            UsageError: Says what can.
        """
        require_methods(self.recover)
        if self.precision not in PRECISIONS:
            raise UsageError(f"no precision {self.precision!r}: there are {', '.join(PRECISIONS)}")
        if self.target is not None and not isinstance(self.target, OnnxTarget):
            raise UsageError(
                f"a run makes and proves .onnx files: for {self.target.suffix} files add the "
                "--runtime that reads them, or use edgeprune export on the run directory"
            )
        self._require_measuring()
        if self.quantizes and self.target is not None and self.target.opset is not None:
            require_opset(self.target.opset)
        if self.precision == "int4" and self.target is not None:
            object.__setattr__(self, "target", four_bit_target(self.target))
        for name in self._runtimes:
            if not bench.RUNTIMES[name].target:
                raise UsageError(
                    f"{name} runs {bench.RUNTIMES[name].takes} files, which no run makes"
                )
            if self.precision != "fp32" and not bench.RUNTIMES[name].quantized:
                raise UsageError(
                    f"--precision {self.precision} runs on {quantized_runtimes()}, not on {name}"
                )

    def _require_measuring(self) -> None:
        """Refuse a measured budget that nothing could tell."""
        kind = self.budget.kind
        if self.plan is not None or kind not in MEASURED_BUDGETS:
            return
        if self.target is None or (self.bench is None and MEASURED_BUDGETS[kind].unit == "s"):
            raise UsageError(
                f"--{kind} is met by measuring: leave out --no-bench, or ask for --macs"
            )
        if distributed.several():
            raise UsageError(
                f"--{kind} is measured by one process: plan with one, then let several recover"
            )

    @property
    def runtime_targets(self) -> tuple[Target, ...]:
        """What else to export for the runtimes that do not take ONNX."""
        wanted = dict.fromkeys(bench.RUNTIMES[name].target for name in self._runtimes)
        return tuple(TARGETS[name]() for name in wanted if name != "onnx")

    @property
    def beyond_onnxruntime(self) -> bool:
        """Whether any other runtime is measured on."""
        return self._runtimes not in ((), (on_runtimes.REFERENCE,))

    @property
    def _runtimes(self) -> tuple[str, ...]:
        return () if self.bench is None else (self.bench.runtime, *self.further_runtimes)

    @property
    def choosing(self) -> PlanOptions:
        """How channels are chosen, as :func:`edgeprune.pruning.plan` takes it."""
        allocation = self.allocation
        if self.quantizes:
            allocation = replace(allocation, block=allocation.block or INT8_BLOCK)
        return {"criterion": self.criterion, "allocation": allocation, "seed": self.seed}

    def watched(self, source: SourceModel, progress: Progress | None) -> Watched:
        """What sensitivity is measured on: the user's own images where there are any.

        Args:
            source: The network.
            progress: Callback for the share done.
        """
        return Watched(self._own_images(source) or DeadLeaves(), progress)

    def recovery_context(self, source: SourceModel) -> RecoveryContext:
        """What recovery methods are handed: the run's images, time, workspace and seed.

        Raises:
            UsageError: If ``images`` is a file, and none of images that ``source`` takes.
        """
        return RecoveryContext(
            images=self._own_images(source) or self.synthesis,
            seconds=math.inf if self.budget_time is None else self.budget_time,
            workspace=self.workspace,
            seed=self.seed,
        )

    def quantizer(self, source: SourceModel) -> Quantize:
        """How to quantize, with the user's images where there are any."""
        images = self._own_images(source)
        return self.quantize if images is None else replace(self.quantize, images=images)

    def stored(self, source: SourceModel) -> StoreWeights:
        """How to store weights in fewer bits, with the user's images where there are any."""
        quantize = self.quantizer(source)
        return StoreWeights(
            "fp16" if self.precision == "fp16" else "int4",
            images=quantize.images,
            weight_rounding=quantize.weight_rounding,
        )

    @property
    def quantizes(self) -> bool:
        """Whether activations become 8-bit codes, if that is faster."""
        return self.precision in ("int8", "auto")

    @property
    def runs_int8(self) -> bool:
        """Whether a quantized file of this target runs on the runtimes asked for."""
        opset = self.target.opset if self.target is not None else 0
        new_enough = opset is None or opset >= FIRST_OPSET
        return new_enough and all(bench.RUNTIMES[name].quantized for name in self._runtimes)

    @property
    def wants_small_file(self) -> bool:
        """Whether a gate is about the size of the file."""
        return any(path in SIZES for text in self.fail_if for path in gates.needs(text))

    @property
    def photographs(self) -> Path | None:
        """The folder of the user's own images, which agreement can be told on."""
        return None if self.images is None or self.images.is_file() else self.images

    @property
    def fits(self) -> bool:
        """Whether recovery fits to the user's images, or quantization reads ranges off them."""
        fitted = self.precision != "fp32" or any(method.source for method in self.recover)
        return self.images is not None and fitted

    @property
    def recovery_alone(self) -> CompressConfig:
        """The same recovery, and nothing to look at: for all but the first of several processes."""
        return replace(self, target=None, bench=None, eval_images=None, fail_if=())

    def _own_images(self, source: SourceModel) -> ImageSource | None:
        if self.images is None:
            return None
        is_set = self.images.is_file()
        return image_sets.load(self.images, source.input) if is_set else Folder(self.images)

    def missing_figures(self, images: Images) -> tuple[str, ...]:
        """Blocks of the report that a run with these settings and images leaves empty."""
        measured = self.bench is not None and self.target is not None
        counted = self.bench is not None and self.bench.device.measures == "instructions"
        missing = {
            ("accuracy",): images.labelled is None,
            ("agreement",): images.unlabelled is None,
            ("parity", "ratio.bytes"): self.target is None,
            ("fidelity", "precision"): self.target is None or self.precision == "fp32",
            ("precision.ratio",): not measured,
            paths.MEASURED: not measured or counted,
            paths.COUNTED: not (measured and counted),
            (paths.BASELINE,): True,
        }
        return tuple(block for blocks, absent in missing.items() if absent for block in blocks)
