"""ONNX files in the format of another runtime, made once and kept.

A conversion is a folder: the files that the runtime reads, and ``model.json`` with the inputs
(name, NumPy type, shape) and the names of the outputs. The folder's name is a digest of the model,
the converter's version and its command, so a new version converts again. It appears whole or not at
all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
from typing import TYPE_CHECKING, Protocol

from edgeprune.bench.worker.tensors import WrongShape, sized
from edgeprune.cache_folder import cache_folder
from edgeprune.drafts import drafting
from edgeprune.errors import DeviceFailed, ModelRefused, UsageError
from edgeprune.leashed import leashed
from edgeprune.whole_folder import place_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MODEL = "model.onnx"
"""The file to convert, in the folder that becomes the conversion."""

LONGEST_S = 600.0


class Converter(Protocol):
    """A program that makes the files that a runtime reads from ONNX."""

    @property
    def makes(self) -> tuple[str, ...]:
        """The files that the runtime reads."""

    def version(self) -> str:
        """Version of the converter.

        Raises:
            DeviceFailed: When it is not installed; the message says how to install it.
        """

    def command(self, inputs: Sequence[Input]) -> list[str]:
        """The command that writes ``makes`` into a folder with ``MODEL``.

        Args:
            inputs: The inputs of the model.
        """


Input = tuple[str, str, list[int]]
"""Name, NumPy type and shape."""


def converted(
    model: Path,
    runtime: str,
    convert: Converter,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> Path:
    """The folder with the files that ``runtime`` reads for ``model``.

    Args:
        model: ONNX file.
        runtime: Name of the runtime.
        convert: The converter for it.
        shapes: Shapes of inputs that the file leaves open, by name.

    Raises:
        UsageError: When a size is missing, or does not fit.
        ModelRefused: When the file is no ONNX model.
        DeviceFailed: When the converter is missing or fails; the message is one line.
    """
    content = model.read_bytes()
    declared, outputs = _signature(content, model.name)
    try:
        inputs = sized(declared, {name: list(shape) for name, shape in (shapes or {}).items()})
    except WrongShape as error:
        raise UsageError(str(error)) from error
    command = convert.command(inputs)
    digest = hashlib.sha256(content)
    digest.update(json.dumps([convert.version(), command[1:], inputs]).encode())
    home = cache_folder() / "conversions" / runtime
    folder = home / digest.hexdigest()
    if folder.is_dir():
        return folder
    home.mkdir(parents=True, exist_ok=True)
    with drafting(folder) as aside:
        work, draft = aside / "work", aside / "done"
        work.mkdir()
        draft.mkdir()
        (work / MODEL).write_bytes(content)
        _run(command, work, convert.makes, f"{model.name} cannot be converted for {runtime}")
        for name in convert.makes:
            (work / name).rename(draft / name)
        described = {"inputs": inputs, "outputs": outputs}
        (draft / "model.json").write_text(json.dumps(described), encoding="utf-8")
        with contextlib.suppress(FileExistsError):  # somebody else has just made the same
            place_folder(draft, folder)
    return folder


def _signature(
    content: bytes, name: str
) -> tuple[list[tuple[str, str, list[int | str]]], list[str]]:
    import onnx

    try:
        graph = onnx.ModelProto.FromString(content).graph
    except Exception as error:  # protobuf's own class, which differs between its versions
        raise ModelRefused(f"{name} is not an ONNX model: {error}") from error
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [
        (
            given.name,
            onnx.helper.tensor_dtype_to_np_dtype(given.type.tensor_type.elem_type).name,
            [dim.dim_value or dim.dim_param for dim in given.type.tensor_type.shape.dim],
        )
        for given in graph.input
        if given.name not in weights
    ]
    return inputs, [output.name for output in graph.output]


def _run(command: list[str], folder: Path, makes: tuple[str, ...], failing: str) -> None:
    """Run a converter, which counts as failed if a file is missing, whatever it returns."""
    try:
        done = subprocess.run(
            leashed(command, os.getpid()),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LONGEST_S,
            check=False,
        )
    except OSError as error:
        raise DeviceFailed(f"{failing}: cannot start {command[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired:
        raise DeviceFailed(f"{failing}: not done after {LONGEST_S:.0f} s") from None
    if done.returncode or any(not (folder / name).is_file() for name in makes):
        raise DeviceFailed(f"{failing}: {_complaint(done.stdout.decode(errors='replace'))}")


def _complaint(output: str) -> str:
    """The line of a converter's output that looks most like an error."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if any(word in line.lower() for word in ERROR_WORDS)]
    return (errors or lines[-1:] or ["it printed no message"])[0][:300]


ERROR_WORDS = ("error", "failed", "not support", "unsupport", "unknown op", "invalid")
