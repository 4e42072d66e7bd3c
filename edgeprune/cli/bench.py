"""``edgeprune bench``: latency and memory of one or two ONNX files, without torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeprune import bench
from edgeprune.artifacts import RuntimeParity
from edgeprune.artifacts.exported import COMPRESSED, ORIGINAL
from edgeprune.bench import devices, instructions, on_runtimes, quantized_files
from edgeprune.cli.check import fail_if_option, raise_if_failed
from edgeprune.cli.console import common_options, progress_bar, typed_command
from edgeprune.cli.measuring import (
    arena_option,
    device_option,
    fraction,
    runtime_option,
    seed_option,
    shape_option,
    shapes,
    threads_option,
    within_option,
)
from edgeprune.cli.rendering import (
    STDOUT,
    baseline_option,
    json_option,
    with_baseline,
    write,
    write_json,
    write_option,
)
from edgeprune.costs import count_onnx
from edgeprune.errors import EdgepruneError, UsageError, VerificationFailed
from edgeprune.report import assemble, files, formats, gates, model_file, paths
from edgeprune.report.assemble import Benched
from edgeprune.report.runtime_rows import emulation_complaint

if TYPE_CHECKING:
    from edgeprune.artifacts import InstructionCounts, Measurement, Parity, Progress
    from edgeprune.cli.console import Stages
    from edgeprune.cli.rendering import Earlier
    from edgeprune.report.document import ReportDocument
    from edgeprune.report.model_file import ModelFile

PARITY_INPUTS = 8
"""Inputs on which the two files' outputs are compared."""

MODEL = click.Path(exists=True, path_type=Path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Values of the flags."""

    runtimes: tuple[str, ...]
    device: str
    threads: int
    seconds: float
    seed: int
    within: str
    arena: str
    shape: tuple[str, ...]
    trust: bool
    json_: Path | None
    fail_if: tuple[str, ...]
    baseline: Earlier | None
    write: tuple[tuple[str, Path], ...]

    @property
    def settings(self) -> bench.BenchSettings:
        """Device, runtime and duration of the measurement."""
        return bench.BenchSettings(
            runtime=self.runtimes[0],
            device=devices.parse(self.device),
            threads=self.threads,
            seconds=self.seconds,
            seed=self.seed,
            within=fraction("within", self.within),
            arena=self.arena == "on",
            trust=self.trust,
            shapes=shapes(self.shape),
        )

    @property
    def counted(self) -> bool:
        """Whether instructions are counted instead of time."""
        return self.settings.device.measures == "instructions"


@click.command("bench")
@click.argument("original", type=MODEL, metavar="A.onnx|RUN")
@click.argument("compressed", type=MODEL, metavar="[B.onnx]", required=False)
@runtime_option
@device_option
@threads_option
@click.option("--seconds", default=30.0, show_default=True, help="The most time to measure.")
@within_option
@arena_option
@shape_option
@seed_option("Seed of the random inputs.")
@click.option("--trust", is_flag=True, help="Run whatever code a .pt2 file contains.")
@json_option("the report")
@fail_if_option
@baseline_option
@write_option
@common_options
def command(original: Path, compressed: Path | None, **flags: object) -> None:
    """Measure latency and memory of A.onnx, or of B.onnx against A.onnx.

    A run directory stands for the two files in it. The two take turns in fresh processes, again and
    again, until the ratio B / A is known well enough or time is up; it comes with its interval.
    """
    models = _models(original, compressed)
    runtimes = on_runtimes.chosen(str(flags.pop("runtime")), models)
    options = Options(runtimes=runtimes, **flags)  # type: ignore[arg-type]  # click checked them
    on_runtimes.require(runtimes[0], options.settings.device)
    if options.counted and len(runtimes) > 1:
        raise UsageError(f"instructions are counted on one runtime, not on {', '.join(runtimes)}")
    lacks = paths.BENCH_LACKS if len(models) == 2 else paths.BENCH_OF_ONE_LACKS
    lacks += paths.MEASURED if options.counted else paths.COUNTED
    gates.require(options.fail_if, lacks if options.baseline else (*lacks, paths.BASELINE))
    with progress_bar() as stages:
        measured = _alone if len(models) == 1 else _compared
        report = measured(models, options, stages)
        parity = _against_onnxruntime(models, options, stages("parity"))
        others = on_runtimes.further(
            options.runtimes[1:], models, options.settings, stages("runtimes")
        )
    report = assemble.on_runtimes(report, parity, others)
    if options.json_ not in (None, STDOUT):  # before the gates: a broken one must not lose it
        files.save(report, options.json_)
    gated = gates.judge(with_baseline(report, options.baseline), options.fail_if)
    printed = write_json(formats.as_json(gated), options.json_)
    if not write(gated, options.write) and not printed:
        click.echo(formats.as_table(gated), nl=False)
    raise_if_failed(gated.gates)
    if complaint := parity.complaint or emulation_complaint(gated):
        raise VerificationFailed(f"{options.runtimes[0]}: {complaint}")


def _models(original: Path, compressed: Path | None) -> tuple[Path, ...]:
    """The files to measure: one, or the original and the compressed.

    Raises:
        UsageError: A folder is no run directory, or one of two; says what to do.
    """
    if original.is_dir() and compressed is None:
        pair = original / ORIGINAL, original / COMPRESSED
        for path in pair:
            if not path.is_file():
                raise UsageError(f"'{original}' holds no {path.name}: edgeprune compress makes one")
        return pair
    models = (original, compressed) if compressed else (original,)
    for path in models:
        if path.is_dir():
            raise UsageError(f"'{path}' is a folder: name a file in it, or one run directory alone")
        if not path.is_file():  # a pipe would be waited for, a device has no end
            raise UsageError(f"'{path}' is not a regular file")
    return models


def _alone(models: tuple[Path, ...], options: Options, stages: Stages) -> ReportDocument:
    (model,) = models
    described = model_file.read(model)
    settings = options.settings
    measure = instructions.measure if options.counted else bench.measure_alone
    found = measure(model, settings, stages("bench"))
    benched, counting = _benched(described, found.measurement, options)
    return assemble.from_bench(
        benched,
        measured_on=found.environment,
        notes=(*found.notes, *counting),
        command=typed_command(),
        seed=options.seed,
    )


def _compared(models: tuple[Path, ...], options: Options, stages: Stages) -> ReportDocument:
    original, compressed = models
    described = (model_file.read(original), model_file.read(compressed))
    comparing = instructions.comparing_on(options.settings.device)
    found = comparing(original, compressed, options.settings, stages("bench"))
    parity, why_not = _parity(described, options, stages("parity"))
    before, counting = _benched(described[0], found.original, options)
    after, counting_after = _benched(described[1], found.compressed, options)
    alone = assemble.from_bench(
        before,
        measured_on=found.environment,
        notes=(*found.notes, *counting, *counting_after, *why_not),
        command=typed_command(),
        seed=options.seed,
    )
    return assemble.against(alone, after, latency=found.latency, parity=parity)


def _benched(
    model: ModelFile, measurement: Measurement | InstructionCounts, options: Options
) -> tuple[Benched, tuple[str, ...]]:
    """The model with its costs, and a note if they cannot be counted."""
    try:
        costs = count_onnx(Path(model.described.path), options.settings.shapes)
    except (EdgepruneError, ImportError) as error:
        note = f"{model.described.path}: MACs and parameters not counted: {error}"
        return Benched(model.described, measurement), (note,)
    return Benched(model.described, measurement, costs), ()


def _parity(
    models: tuple[ModelFile, ModelFile], options: Options, progress: Progress
) -> tuple[Parity | None, tuple[str, ...]]:
    """B's outputs against A's on the same inputs, or a note on why they cannot be compared."""
    if models[0].inputs != models[1].inputs:
        return None, ("outputs not compared: the two models take different inputs",)
    seeds = range(options.seed, options.seed + PARITY_INPUTS)
    settings = options.settings
    if options.counted:  # emulation is slow; each model's outputs there were compared with ours
        settings = replace(settings, device=bench.LocalDevice())
    paths_ = [Path(model.described.path) for model in models]
    within = max(map(quantized_files.input_ranges, paths_), key=lambda found: any(found))
    outputs = []
    for share, path in enumerate(paths_):
        progress(share / 2, f"outputs of {path.name}")
        outputs.append(bench.outputs_of_seeds(path, settings, seeds, within))
    found = on_runtimes.compared(*outputs)
    if found is None:
        return None, ("outputs not compared: the two models' have different shapes",)
    return found, ()


def _against_onnxruntime(
    models: tuple[Path, ...], options: Options, progress: Progress
) -> RuntimeParity:
    """Outputs of the runtime against ONNX Runtime's; empty if instructions are counted."""
    return (
        RuntimeParity()
        if options.counted
        else on_runtimes.parity_of(models, options.settings, progress)
    )
