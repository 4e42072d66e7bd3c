"""``edgeprune bench``: latency and memory of one or two ONNX files, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeprune import bench, closeness
from edgeprune.artifacts import Parity
from edgeprune.cli.check import fail_if_option, raise_if_failed
from edgeprune.cli.console import common_options, progress_bar, typed_command
from edgeprune.costs import count_onnx
from edgeprune.errors import EdgepruneError
from edgeprune.report import assemble, files, formats, gates, model_file, paths
from edgeprune.report.assemble import Benched

if TYPE_CHECKING:
    from edgeprune.artifacts import Measurement, Progress
    from edgeprune.cli.console import Stages
    from edgeprune.closeness import Array
    from edgeprune.report.document import ReportDocument
    from edgeprune.report.model_file import ModelFile

PARITY_INPUTS = 8
"""Inputs on which the two files' outputs are compared."""

MODEL = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the flags said."""

    runtime: str
    device: str
    threads: int
    seconds: float
    seed: int
    json: Path | None
    fail_if: tuple[str, ...]

    @property
    def settings(self) -> bench.BenchSettings:
        """Where and how to measure."""
        return bench.BenchSettings(
            self.runtime, bench.DEVICES[self.device](), self.threads, self.seconds, self.seed
        )


@click.command("bench")
@click.argument("original", type=MODEL, metavar="A.onnx")
@click.argument("compressed", type=MODEL, metavar="[B.onnx]", required=False)
@click.option("--runtime", default="onnxruntime", show_default=True, help="What runs the models.")
@click.option("--device", default="local", show_default=True, help="Where they run.")
@click.option("--threads", default=1, show_default=True, help="Threads for one inference.")
@click.option("--seconds", default=10.0, show_default=True, help="Time to measure; longer: surer.")
@click.option("--seed", default=0, show_default=True, help="Of the random inputs.")
@click.option("--json", type=click.Path(path_type=Path), metavar="FILE", help="Write the report.")
@fail_if_option
@common_options
def command(original: Path, compressed: Path | None, **flags: object) -> None:
    """Measure latency and memory of A.onnx, or of B.onnx against A.onnx.

    The two take turns, so that what slows the machine slows both; the ratio B / A comes with its
    interval.
    """
    options = Options(**flags)  # type: ignore[arg-type]  # click has checked them
    gates.require(options.fail_if, paths.BENCH_LACKS if compressed else paths.BENCH_OF_ONE_LACKS)
    with progress_bar() as stages:
        if compressed:
            report = _compared(original, compressed, options, stages)
        else:
            report = _alone(original, options, stages)
    _save(report, options)  # before the gates: what was measured is not lost with a broken one
    judged = gates.judge(report, options.fail_if)
    _save(judged, options)
    click.echo(formats.as_table(judged), nl=False)
    raise_if_failed(judged.gates)


def _alone(model: Path, options: Options, stages: Stages) -> ReportDocument:
    described = model_file.read(model)
    found = bench.measure_alone(model, options.settings, stages("bench"))
    benched, counting = _benched(described, found.measurement)
    return assemble.from_bench(
        benched,
        measured_on=found.environment,
        notes=(*found.notes, *counting),
        command=typed_command(),
        seed=options.seed,
    )


def _compared(original: Path, compressed: Path, options: Options, stages: Stages) -> ReportDocument:
    described = (model_file.read(original), model_file.read(compressed))
    found = bench.compare(original, compressed, options.settings, stages("bench"))
    parity, why_not = _parity(described, options, stages("parity"))
    before, counting = _benched(described[0], found.original)
    after, counting_after = _benched(described[1], found.compressed)
    alone = assemble.from_bench(
        before,
        measured_on=found.environment,
        notes=(*found.notes, *counting, *counting_after, *why_not),
        command=typed_command(),
        seed=options.seed,
    )
    return assemble.against(alone, after, latency=found.latency, parity=parity)


def _benched(model: ModelFile, measurement: Measurement) -> tuple[Benched, tuple[str, ...]]:
    """The model with its costs, and a note if they cannot be counted."""
    try:
        costs = count_onnx(Path(model.described.path))
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
    answers = []
    for share, model in enumerate(models):
        progress(share / 2, f"outputs of {Path(model.described.path).name}")
        path = Path(model.described.path)
        answers.append(bench.outputs_of_seeds(path, options.settings, seeds))
    return compare_outputs(*answers)


def compare_outputs(
    references: list[list[Array]], candidates: list[list[Array]]
) -> tuple[Parity | None, tuple[str, ...]]:
    """Compare two models' outputs, a list for each input; the worst output counts.

    Returns:
        What was found, or None and a note when the outputs are not of the same shapes.
    """
    pairs = list(zip(references, candidates, strict=True))
    if any([a.shape for a in one] != [b.shape for b in other] for one, other in pairs):
        return None, ("outputs not compared: the two models' have different shapes",)
    found = []
    for output in range(len(references[0])):
        comparison = closeness.Comparison()
        for one, other in pairs:
            comparison.add(one[output], other[output])
        found.append(comparison.result())
    worst = Parity(
        max_abs_diff=max(one.max_abs_diff for one in found),
        max_rel_diff=max(one.max_rel_diff for one in found),
        argmax_agreement=min(one.argmax_agreement for one in found),
        n=len(pairs),
        batch_sizes=(1,),
    )
    return worst, ()


def _save(report: ReportDocument, options: Options) -> None:
    if options.json:
        files.save(report, options.json)
