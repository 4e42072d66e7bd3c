"""Simplify an ONNX file with onnxsim, in a child process that may crash, hang or be wrong.

The simplifier is C++ and has been known to end in a segmentation fault or to fix dynamic
dimensions. So it runs elsewhere, for a limited time, and its result is used only if the file
still takes and returns the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, TypeAlias

import onnx

from edgeprune.leashed import leashed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Signature: TypeAlias = list[tuple[str, int, tuple[int | None, ...]]]

LIMIT_S = 300.0
"""Time limit of the simplifier, in seconds."""

SCRIPT = """
import faulthandler, os, sys
nowhere = open(os.devnull, "w")
faulthandler.dump_traceback_later(LIMIT, exit=True, file=nowhere)  # if nobody waits any more
sys.modules["torch"] = None  # an optional extra of onnxsim's that takes seconds to import
try:
    import onnxsim
except ImportError:
    del sys.modules["torch"]
    import onnxsim
import onnx
model, checked = onnxsim.simplify(sys.argv[1])
onnx.save(model, sys.argv[2])
sys.exit(0 if checked else "its own check failed")
""".replace("LIMIT", f"{LIMIT_S + 30:.0f}")
# A string and not a file: a script's own folder comes first on sys.path, and this folder has
# an onnx.py. The child's working directory holds nothing but model files for the same reason.
CHILD = (sys.executable, "-c", SCRIPT)
MOST_GROWTH = 1.1
"""Largest growth of a file, as a factor: constants folded in full can make it larger."""
INFERRED_SHAPES = 50_000
"""Bytes that the inferred shapes in a file may add."""


def simplify(
    source: Path, destination: Path, *, seconds: float = LIMIT_S, command: Sequence[str] = CHILD
) -> str | None:
    """Write a simplified copy of a file.

    Args:
        source: The file; not changed.
        destination: The simplified file; may be left in any state when a reason is returned.
        seconds: Time limit in seconds, after which the simplifier is killed.
        command: Command to run; source and destination are appended.

    Returns:
        None if the destination can be used, else the reason why not.
    """
    try:
        child = subprocess.run(
            leashed((*command, str(source.resolve()), str(destination.resolve())), os.getpid()),
            cwd=destination.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )  # on a time-out, Ctrl-C or any other exception, run() kills the child
    except subprocess.TimeoutExpired:
        return f"not simplified: the simplifier took longer than {seconds:.0f} s"
    if child.returncode != 0:
        return f"not simplified: {_failure(child.returncode, child.stderr)}"
    return _refusal(source, destination)


def _failure(returncode: int, stderr: bytes) -> str:
    if returncode < 0:
        return f"the simplifier crashed (signal {-returncode})"
    lines = stderr.decode(errors="replace").strip().splitlines()
    return f"the simplifier failed ({lines[-1] if lines else f'exit code {returncode}'})"


def _refusal(source: Path, destination: Path) -> str | None:
    """The reason why a simplified file cannot be used; None if it can."""
    try:
        unchanged = signature(source) == signature(destination)
    except Exception as cause:  # protobuf's errors have no common base
        return f"not simplified: the simplifier left an unreadable file ({type(cause).__name__})"
    if not unchanged:
        return "not simplified: the simplifier changed the inputs or outputs"
    if destination.stat().st_size > MOST_GROWTH * source.stat().st_size + INFERRED_SHAPES:
        return "not simplified: the simplified file is larger"
    return None


def signature(path: Path) -> tuple[Signature, Signature]:
    """Name, element type and shape of every input and output; None for an open dimension."""
    graph = onnx.load(path).graph
    weights = {tensor.name for tensor in graph.initializer}
    return (
        [_described(each) for each in graph.input if each.name not in weights],
        [_described(each) for each in graph.output],
    )


def _described(info: onnx.ValueInfoProto) -> tuple[str, int, tuple[int | None, ...]]:
    tensor = info.type.tensor_type
    dims = (dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim)
    return info.name, tensor.elem_type, tuple(dims)
