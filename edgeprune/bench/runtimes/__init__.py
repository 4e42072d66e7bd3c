"""Runtimes that models can be measured on: an adapter file and a row of ``RUNTIMES`` each.

An adapter stands alone, as ``worker`` does, which loads it by its path: see
``onnxruntime_adapter.py``. The table is for the host, which may lack the runtime: which files it
takes, and which converter makes them from ONNX.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeprune.artifacts.runtime_run import TOLERANCE
from edgeprune.bench.quantized_files import is_quantized
from edgeprune.bench.runtimes.conversion import Converter, converted
from edgeprune.bench.runtimes.mnn_conversion import MnnConverter
from edgeprune.bench.runtimes.ncnn_conversion import Pnnx
from edgeprune.choices import Choices
from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["RUNTIMES", "Runtime"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A library that runs models.

    Attributes:
        name: Name of the runtime, with which its adapter's file name begins.
        package: The distribution that has its version.
        install: The command that installs it.
        takes: The suffix of the files that it runs, or that ``convert`` reads.
        target: The name of such files for ``edgeprune export --target``; "" where there is none.
        convert: The converter that makes the files it reads; None where it reads ``takes`` itself.
        tolerance: Largest difference of its outputs from ONNX Runtime's that may be rounding,
            relative to the largest output. Larger: a runtime that computes in 16 bits passes.
        quantized: Whether it takes quantized ONNX files as they are.
        runs_code: Whether its files can hold code that runs when they are loaded.
    """

    name: str
    package: str
    install: str
    takes: str = ".onnx"
    target: str = "onnx"
    convert: Converter | None = None
    tolerance: float = TOLERANCE
    quantized: bool = False
    runs_code: bool = False

    @property
    def adapter(self) -> Path:
        """The file that ``worker`` loads."""
        return Path(__file__).with_name(f"{self.name}_adapter.py")

    def installed(self) -> str | None:
        """The version installed in this interpreter; None where it is not installed."""
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return None

    def runs(self, model: Path) -> bool:
        """Whether it can run the model, or the file of its name beside it."""
        try:
            self.file_of(model)
        except UsageError:
            return False
        return True

    def file_of(self, model: Path) -> Path:
        """The file to measure: the model, or the file of its name beside it that the runtime takes.

        Raises:
            UsageError: When there is none; the message says how to make one.
        """
        beside = model.with_suffix(self.takes)
        if model.suffix == self.takes or beside.is_file():
            return beside
        how = "convert the model first"
        if self.target:
            how = f"edgeprune export MODEL --target {self.target} writes one"
        raise UsageError(f"{self.name} runs {self.takes} files, not {model.name}: {how}")

    def prepared(self, model: Path, shapes: Mapping[str, Sequence[int]] | None = None) -> Path:
        """The path that the adapter loads: a file, or a folder that the converter made.

        Args:
            model: An ONNX file, or a file of the kind that the runtime takes.
            shapes: Shapes of inputs that the file leaves open, by name.

        Raises:
            UsageError: When the runtime cannot run files of that kind, or a size is missing.
            DeviceFailed: When the converter is missing or cannot convert the model.
        """
        file = self.file_of(model)
        if self.convert is None:
            return file
        if is_quantized(file):
            raise UsageError(
                f"{file.name} is quantized, which {quantized_runtimes()} run; {self.name}'s "
                "converter knows no QuantizeLinear: give it the float file"
            )
        return converted(file, self.name, self.convert, shapes)


def quantized_runtimes() -> str:
    """The names of the runtimes that take quantized ONNX files: "onnxruntime and openvino"."""
    return " and ".join(row.name for row in RUNTIMES.values() if row.quantized)


def _table(*rows: Runtime) -> Choices[Runtime]:
    return Choices("runtime", {row.name: row for row in rows})


RUNTIMES = _table(
    Runtime(
        name="onnxruntime",
        package="onnxruntime",
        install="pip install onnxruntime",
        quantized=True,
    ),
    Runtime(
        name="openvino",
        package="openvino",
        install="pip install 'edgeprune[openvino]'",
        quantized=True,
    ),
    Runtime(
        name="ncnn",
        package="ncnn",
        install="pip install 'edgeprune[ncnn]'",
        convert=Pnnx(),
    ),
    Runtime(
        name="mnn", package="MNN", install="pip install 'edgeprune[mnn]'", convert=MnnConverter()
    ),
    Runtime(
        name="litert",
        package="ai-edge-litert",
        install="pip install 'edgeprune[litert]'",
        takes=".tflite",
        target="",
    ),
    Runtime(
        name="executorch",
        package="executorch",
        install="pip install 'edgeprune[executorch]'",
        takes=".pte",
        target="executorch",
    ),
    Runtime(
        name="torch",
        package="torch",
        install="pip install torch",
        takes=".pt2",
        target="torch",
        runs_code=True,
    ),
)
