"""What stands beside the page in a run directory: files, contact sheets, how to run the file."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprune import units

if TYPE_CHECKING:
    from pathlib import Path

    from edgeprune.report.document import Model, ReportDocument

FILES = {
    "compressed.onnx": "the file to deploy",
    "original.onnx": "the original, exported the same way",
    "compressed.safetensors": "for PyTorch: edgeprune.load",
    "plan.json": "the channels that stay",
    "recipe.yaml": "every setting",
    "report.json": "every figure",
    "report.md": "this page as text",
}
"""Files that a run leaves, and what they are."""

AFTER_THE_PAGE = ("recipe.yaml", "report.json", "report.md")
"""Files that are written when the page is made, or after it."""

LARGEST_SHEET = 4 << 20
"""Bytes of a picture that the page carries itself."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A picture with synthesized images; ``data`` is its address, in the page or beside it."""

    name: str
    data: str


def files(directory: Path | None) -> dict[str, str]:
    """Names of the files that stand there, and what they are."""
    if directory is None:
        return {}
    there = (name for name in FILES if name in AFTER_THE_PAGE or (directory / name).is_file())
    return {name: FILES[name] for name in there}


def sheets(directory: Path | None) -> tuple[Sheet, ...]:
    """The contact sheets, small ones as data."""
    found = sorted(directory.glob("images*.png")) if directory else []
    return tuple(Sheet(path.name, _address(path)) for path in found)


def _address(path: Path) -> str:
    if path.stat().st_size > LARGEST_SHEET:
        return path.name
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def snippet(report: ReportDocument) -> str:
    """Python that runs the file on a picture, or on an array; nothing where there is no file."""
    if report.model is None or report.compressed is None or report.compressed.onnx is None:
        return ""
    return _on_a_picture(report.model) or _on_an_array(report.model)


def _on_a_picture(model: Model) -> str:
    if model.preprocessing is None:
        return ""
    _, channels, height, width = model.input[0]
    mean, std = (list(values) for values in (model.preprocessing.mean, model.preprocessing.std))
    return f"""\
import numpy as np
import onnxruntime
from PIL import Image

picture = Image.open("picture.jpg").convert("{"RGB" if channels == 3 else "L"}")
pixels = np.asarray(picture.resize(({width}, {height})), np.float32) / 255
pixels = (pixels.reshape({height}, {width}, {channels}) - np.float32({mean})) / np.float32({std})
session = onnxruntime.InferenceSession("compressed.onnx")
name = session.get_inputs()[0].name
print(session.run(None, {{name: pixels.transpose(2, 0, 1)[None]}})[0])
"""


def _on_an_array(model: Model) -> str:
    shapes = ", ".join(map(units.dimensions, model.input))
    return f"""\
import onnxruntime

session = onnxruntime.InferenceSession("compressed.onnx")
names = [each.name for each in session.get_inputs()]  # they take {shapes}
print(session.run(None, dict(zip(names, arrays)))[0])
"""
