"""Facts about a model file, read without running it: size and digest; of ONNX, opset and inputs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeprune.errors import ModelRefused, UsageError
from edgeprune.report.document import OnnxFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Inputs = tuple[tuple[int, tuple[int, ...]], ...]
"""For each input its element type, as ONNX numbers them, and its shape, 1 for what is left open."""


OTHER_KINDS = (".pt2", ".pte", ".tflite")
"""Files of other runtimes, which only these read."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file to report on; ``inputs`` is None where the onnx package cannot read them."""

    described: OnnxFile
    inputs: Inputs | None


def read(path: Path) -> ModelFile:
    """Describe the file at ``path``, weights kept in files beside it included in its size.

    Raises:
        UsageError: It cannot be read.
        ModelRefused: It is not ONNX.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    graph = None if path.suffix in OTHER_KINDS else _parsed(data, path)
    opset, inputs, beside = None, None, 0
    if graph is not None:
        opset = next((o.version for o in graph.opset_import if o.domain in ("", "ai.onnx")), None)
        inputs = tuple(_inputs(graph.graph))
        beside = sum(_size(path.parent / name) for name in _external(graph.graph))
    digest = hashlib.sha256(data).hexdigest()
    return ModelFile(OnnxFile(str(path), len(data) + beside, digest, opset), inputs)


def _parsed(data: bytes, path: Path) -> Any:
    """The ModelProto; None where the onnx package is not installed."""
    try:
        import onnx
    except ImportError:
        return None
    try:
        model = onnx.ModelProto.FromString(data)
    except Exception as error:  # protobuf's own class, which differs between its versions
        raise ModelRefused(f"{path} is not an ONNX model: {error}") from error
    if not model.graph.node:
        raise ModelRefused(f"{path} is not an ONNX model: it has no operators")
    return model


def _inputs(graph: Any) -> Iterator[tuple[int, tuple[int, ...]]]:
    weights = {tensor.name for tensor in graph.initializer}
    for declared in graph.input:
        if declared.name not in weights:
            tensor = declared.type.tensor_type
            dims = tuple(dim.dim_value or 1 for dim in tensor.shape.dim)
            yield tensor.elem_type, dims


def _external(graph: Any) -> set[str]:
    """Names of the files beside the model that hold weights."""
    entries = (entry for tensor in graph.initializer for entry in tensor.external_data)
    return {entry.value for entry in entries if entry.key == "location"}


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
