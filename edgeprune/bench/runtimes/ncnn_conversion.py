"""ONNX → ncnn with pnnx, whose program stands alone: its Python package would bring PyTorch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from edgeprune.bench.runtimes.conversion import MODEL
from edgeprune.errors import DeviceFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune.bench.runtimes.conversion import Input

SHORT = {"float32": "f32", "float64": "f64", "float16": "f16", "uint8": "u8", "int8": "i8"}
SHORT |= {"int32": "i32", "int64": "i64", "bool": "bool"}
"""NumPy's names of types, and pnnx's."""


@dataclass(frozen=True, slots=True)
class Pnnx:
    """The converter pnnx, which writes the weights in float32."""

    makes: ClassVar[tuple[str, ...]] = ("model.param", "model.bin")

    def version(self) -> str:
        """Version of the installed distribution."""
        try:
            return importlib.metadata.version("pnnx")
        except importlib.metadata.PackageNotFoundError:
            raise DeviceFailed(
                "ncnn reads what pnnx converts, and that is missing: pip install 'edgeprune[ncnn]'"
            ) from None

    def command(self, inputs: Sequence[Input]) -> list[str]:
        """The command, with the shapes of the inputs so that what depends on them is folded."""
        shapes = ",".join(
            f"[{','.join(map(str, shape))}]{SHORT.get(dtype, dtype)}" for _, dtype, shape in inputs
        )
        files = ("ncnnparam=model.param", "ncnnbin=model.bin")
        return [_program(), MODEL, f"inputshape={shapes}", "fp16=0", *files]


def _program() -> str:
    """The program in the package, found without importing it."""
    found = importlib.util.find_spec("pnnx")
    folders = found.submodule_search_locations if found else None
    return str(Path(next(iter(folders or ["."]))) / "pnnx")
