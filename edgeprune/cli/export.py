"""``edgeprune export``: any model that edgeprune reads → a file for a runtime, verified."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from edgeprune.cli import options, quantizing
from edgeprune.cli.console import common_options, progress_bar, say, warn
from edgeprune.cli.help import PanelCommand
from edgeprune.cli.measuring import seed_option
from edgeprune.errors import UsageError
from edgeprune.report import compare, precision_rows

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
    seed_option("Seed of the compared inputs."),
)  # fmt: skip
@common_options
def command(**given: Any) -> None:
    """Write MODEL as ONNX and compare the file with PyTorch on many inputs.

    A run directory's network is written as compressed.onnx, any other as NAME.onnx; with --target
    executorch as .pte, with --target torch as .pt2, with --precision int8 as NAME.int8.onnx, with
    fp16 or int4 as NAME.fp16.onnx or NAME.int4.onnx.
    """
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
