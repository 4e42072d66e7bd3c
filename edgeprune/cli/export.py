"""``edgeprune export``: any model that edgeprune reads → a file for a runtime, verified."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from edgeprune.cli import options, quantizing
from edgeprune.cli.compress import raise_if_unmeasured
from edgeprune.cli.console import (
    common_options,
    progress_bar,
    say,
    settings,
    typed_command,
    warn,
)
from edgeprune.cli.help import PanelCommand
from edgeprune.cli.last_screen import last_screen
from edgeprune.cli.measuring import seed_option
from edgeprune.cli.run_directory import destination, new_run
from edgeprune.errors import UsageError
from edgeprune.report import compare, precision_rows
from edgeprune.report.document import FILE_NAME
from edgeprune.report.files import decode

if TYPE_CHECKING:
    from edgeprune.artifacts import ExportedModel, SourceModel
    from edgeprune.cli.console import Stages
    from edgeprune.export import Target


@click.command("export", cls=PanelCommand)
@options.model_argument
@options.flags(
    options.LOADING,
    options.EXPORT,
    quantizing.EXPORT_PRECISION,
    quantizing.QUANTIZATION,
    click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR",
                 help="Folder for the file. [default: the run directory, else here]"),
    click.option("--overwrite", is_flag=True, help="Replace the file if it exists."),
    click.option("--weights", type=click.Path(exists=True, path_type=Path), metavar="FILE",
                 help="Weights of your own training for the network of a run directory: gives a "
                      "new run, verified and measured. [DIR: RUN-tuned]"),
    options.MEASURING,
    seed_option("Seed of the compared inputs."),
)  # fmt: skip
@common_options
def command(**given: Any) -> None:
    """Write MODEL as ONNX and compare the file with PyTorch on many inputs.

    A run directory's network is written as compressed.onnx, any other as NAME.onnx; with --target
    executorch as .pte, with --target torch as .pt2, with --precision int8 as NAME.int8.onnx, with
    fp16 or int4 as NAME.fp16.onnx or NAME.int4.onnx.
    """
    if given["weights"] is not None:
        _trained(given)
        return
    target = options.target(given)
    precision = given["precision"]
    plain = precision == "fp32"
    if not plain and target.suffix != ".onnx":
        raise UsageError(f"--precision {precision} is for --target onnx, not {given['target']}")
    if precision == "int4":
        target = quantizing.four_bit_target(target)
    path = _destination(given, target.suffix if plain else f".{precision}{target.suffix}")
    source = options.source(given)
    with progress_bar() as stages:
        write = _export if plain else _quantize
        exported = write(source, target, path, given, stages)
    for note in exported.notes:
        warn(note)
    parity, what = exported.parity, "verified" if plain else "float file verified"
    say(f"{what} on {parity.n} inputs: outputs differ by {parity.max_rel_diff:.1e} at most")
    click.echo(path)


def _trained(given: options.Flags) -> None:
    """Write a new run of a run's network with other weights, and print its last screen.

    Raises:
        UsageError: MODEL is no run directory, or an option has no meaning here.
    """
    run: Path = given["model"]
    if not (run / FILE_NAME).is_file():
        raise UsageError(f"--weights is for a run directory, and '{run}' is none")
    if given["precision"] != "fp32" or given["target"] != "onnx":
        raise UsageError("--weights makes a float .onnx file: leave out --precision and --target")
    output = given["output"] or run.with_name(f"{run.resolve().name}-tuned")
    target = destination({**given, "output": output}, run.name)
    bench = options.bench_settings(given)
    chosen: Any = options.target(given)
    from edgeprune.loading import load_weights
    from edgeprune.pipeline.reexport import reexport

    network = load_weights(run, given["weights"], tuple(given["allow"]))
    with new_run(given, target) as new, progress_bar() as stages:
        asked = {"target": chosen, "bench": bench, "command": typed_command()}
        reexport(run, network, new.folder, stages=stages, **asked)
    say(f"wrote {new.directory}")
    report = decode(new.directory)
    click.echo(last_screen(report, new.directory, settings().elapsed), nl=False)
    raise_if_unmeasured(report, new.directory)


def _destination(given: options.Flags, suffix: str) -> Path:
    """The file to write.

    Raises:
        UsageError: If it exists and may not be replaced.
    """
    model: Path = given["model"]
    folder = given["output"] or (model if model.is_dir() else Path())
    path: Path = folder / (("compressed" if model.is_dir() else model.stem) + suffix)
    if path.exists() and not given["overwrite"]:
        raise UsageError(f"'{path}' exists already: choose another -o, or pass --overwrite")
    return path


def _export(
    source: SourceModel, target: Target, path: Path, given: options.Flags, stages: Stages
) -> ExportedModel:
    origin = {"source_name": source.name, "source_sha256": source.sha256}
    return target(source.module, source.input, path, origin, stages("export"), given["seed"])


def _quantize(
    source: SourceModel, target: Any, path: Path, given: options.Flags, stages: Stages
) -> ExportedModel:
    """Write the quantized file alone, and say how true it is to the float one."""
    quantize = quantizing.writer(given)
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as aside:
        exported = _export(source, target, Path(aside) / path.name, given, stages)
        made = quantize(source, exported, target, path, stages("quantize"), given["seed"])
    say(precision_rows.fidelity(compare.fidelity(made)))
    return exported
