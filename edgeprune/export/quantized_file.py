"""A quantized file: its graph, and what it says of itself and its float file."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypedDict

import onnx

from edgeprune.whole_file import write_whole

if TYPE_CHECKING:
    from pathlib import Path


class WrittenFile(TypedDict):
    """What a :class:`~edgeprune.artifacts.QuantizedModel` says of its file."""

    path: Path
    opset: int
    bytes: int
    sha256: str


def write_quantized(
    quantized: onnx.ModelProto, original: onnx.ModelProto, precision: str, path: Path
) -> WrittenFile:
    """Write a checked file that says where it is from, and that it is quantized; whole, or not.

    Args:
        quantized: The graph; what it says of itself is replaced.
        original: The float graph.
        precision: What its numbers are, in words.
        path: The file to write; its folder exists.
    """
    del quantized.metadata_props[:]
    about = {each.key: each.value for each in original.metadata_props}
    about["precision"] = precision
    onnx.helper.set_model_props(quantized, about)
    quantized.producer_name = original.producer_name
    quantized.producer_version = original.producer_version
    onnx.checker.check_model(quantized, full_check=True)
    content: bytes = quantized.SerializeToString(deterministic=True)
    write_whole(path, content)
    return WrittenFile(
        path=path,
        opset=next(each.version for each in quantized.opset_import if not each.domain),
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
