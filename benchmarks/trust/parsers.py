"""Every parser that meets files from outside: what it reads, how it is called, what must be equal.

A parser ends well, or in an error of edgeprune's own (or click's, for arguments): nothing else.
Where what it reads carries checksums, damage either is refused or leaves the content as it was.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import click
from mutators import Mutator, archive, header, json_tree, lines, number, program, protobuf
from torch import nn

import edgeprune as ep
from edgeprune import own_files
from edgeprune.blueprint import Allowed
from edgeprune.cli import options
from edgeprune.cli.compress import command as compress
from edgeprune.cli.console import Settings
from edgeprune.cli.run_directory import read_recipe
from edgeprune.costs import count_onnx
from edgeprune.errors import EdgepruneError
from edgeprune.images import image_sets
from edgeprune.images.reading import unlabelled
from edgeprune.loading import LoadOptions, load, load_run
from edgeprune.loading.pickles import unpickle
from edgeprune.loading.state_dicts import tensors_of
from edgeprune.program import checks
from edgeprune.pruning import plan_file
from edgeprune.report import files, formats, gates, model_file
from edgeprune.training.checkpoint import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

REFUSALS = (EdgepruneError, click.ClickException, click.exceptions.Exit, click.Abort)
"""How a bad input may end."""

CORPUS = Path(__file__).parents[2] / "tests" / "fuzz" / "corpus"


@dataclass(frozen=True, slots=True)
class Parser:
    """One parser.

    Attributes:
        seeds: Folder of good files below ``CORPUS``.
        read: Reads a file; what it returns can be compared.
        structure: Mutators that know the format.
        checked: Whether checksums cover the content, so that raw damage cannot change it unseen.
    """

    seeds: str
    read: Callable[[Path], object]
    structure: tuple[Mutator, ...]
    checked: bool = False

    def files(self) -> list[Path]:
        """The good files, in order."""
        return sorted((CORPUS / self.seeds).iterdir())


def read_bytes(parser: Parser, name: str, data: bytes) -> object:
    """What a parser makes of a file with this name and content, alone in a folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        return parser.read(path)


def is_refusal(error: BaseException) -> bool:
    """Whether an input may end so; the command line calls what ends with 1 a bug."""
    return isinstance(error, REFUSALS) and getattr(error, "exit_code", 2) != 1


def _network(path: Path) -> object:
    return load(path, LoadOptions()).sha256


def _weights(path: Path) -> object:
    if path.suffix == ".safetensors":
        return sorted(tensors_of(path))
    return type(unpickle(path, Allowed()))


def _stored(path: Path) -> object:
    network = load_run(path)
    return load(path, LoadOptions()).sha256, [type(each) for each in network.modules()]


def _graph(path: Path) -> object:
    return checks.checked(path.read_text(encoding="utf-8", errors="replace")).program


def _report(path: Path) -> object:
    report = gates.judge(files.decode(path), ("ratio.macs > 2",))
    shows = ("table", "markdown", "junit", "json")
    return [len(formats.FORMATS[show](report)) for show in shows]


def _onnx(path: Path) -> object:
    model_file.read(path)
    return count_onnx(path)


def _image_set(path: Path) -> object:
    inputs, about = image_sets.read(path)
    return [each.numpy().tobytes() for each in inputs], about


def _picture(path: Path) -> object:
    spec = ep.wrap(nn.Conv2d(3, 4, 1), (1, 3, 8, 8)).input
    return tuple(unlabelled(path.parent, spec)[0][0].shape)


def _own_files(path: Path) -> object:
    """The list of what this user's edgeprune wrote, in the cache folder."""
    path.rename(path.with_name(own_files.LIST))
    with mock.patch.dict(os.environ, {"EDGEPRUNE_CACHE": str(path.parent)}):
        return own_files.is_own(Path(__file__))


def _resumed(path: Path) -> object:
    """What an interrupted training left; a file of something else is none."""
    return Checkpoint(path).load("a run") or {}


def _arguments(path: Path) -> object:
    """A command line, read and turned into settings; nothing runs."""
    typed = path.read_text(encoding="utf-8", errors="replace").splitlines()
    words = [word for line in typed for word in line.split(" ", 1)]
    quiet = contextlib.redirect_stdout(io.StringIO())
    with quiet, compress.make_context("compress", [str(path), *words], obj=Settings()) as context:
        options.config(context.params)
        return sorted(context.params)


PARSERS: dict[str, Parser] = {
    "network (.pt)": Parser("networks", _network, (archive, archive), checked=True),
    "weights (.pt, .safetensors)": Parser("weights", _weights, (archive, header)),
    "stored network, blueprint": Parser("stored", _stored, (header, header), checked=True),
    "recorded graph": Parser("graphs", _graph, (json_tree, json_tree)),
    "plan": Parser("plans", plan_file.read, (json_tree,), checked=True),
    "recipe": Parser("recipes", read_recipe, (lines,)),
    "report": Parser("reports", _report, (json_tree, json_tree)),
    "ONNX": Parser("onnx", _onnx, (protobuf, protobuf)),
    "image set": Parser("image-sets", _image_set, (header,), checked=True),
    "pictures": Parser("pictures", _picture, (number,)),
    "own files": Parser("arguments", _own_files, (lines,)),
    "state to resume": Parser("weights", _resumed, (program,)),
    "arguments": Parser("arguments", _arguments, (lines, lines)),
}
