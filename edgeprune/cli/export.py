"""``edgeprune export``: any model that edgeprune reads → a file for a runtime, verified."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from edgeprune.cli import options, quantizing
from edgeprune.cli.console import common_options, progress_bar, say, warn
from edgeprune.cli.measuring import seed_option
from edgeprune.errors import UsageError
from edgeprune.report import compare, precision_rows


@click.command("export")
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
    executorch as .pte, with --target torch as .pt2, with --precision int8 as NAME.int8.onnx.
    """
    target = options.target(given)
    int8 = given["precision"] == "int8"
    if int8 and given["target"] != "onnx":
        raise UsageError(f"--precision int8 is for --target onnx, not {given['target']}")
    model: Path = given["model"]
    folder = given["output"] or (model if model.is_dir() else Path())
    suffix = f".int8{target.suffix}" if int8 else target.suffix
    path = folder / (("compressed" if model.is_dir() else model.stem) + suffix)
    if path.exists() and not given["overwrite"]:
        raise UsageError(f"'{path}' exists already: choose another -o, or pass --overwrite")
    source = options.source(given)
    origin = {"source_name": source.name, "source_sha256": source.sha256}
    with progress_bar() as stages, TemporaryDirectory() as aside:
        place = Path(aside) / path.name if int8 else path
        exported = target(
            source.module, source.input, place, origin, stages("export"), given["seed"]
        )
        if int8:
            path.parent.mkdir(parents=True, exist_ok=True)
            quantize = quantizing.quantize(given)
            made = quantize(source, exported, target, path, stages("quantize"), given["seed"])
            found = compare.fidelity(made)
    for note in exported.notes:
        warn(note)
    parity = exported.parity
    say(f"verified on {parity.n} inputs: outputs differ by {parity.max_rel_diff:.1e} at most")
    if int8:
        say(precision_rows.fidelity(found))
    click.echo(path)
