"""ONNX → MNN with the converter in MNN's package, called past the package's own command.

That command installs a logging package with pip when it is first used, and sends what it converted
to its makers; the converter below it does neither.
"""

from __future__ import annotations

import importlib.metadata
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from edgeprune.bench.runtimes.conversion import MODEL
from edgeprune.errors import DeviceFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune.bench.runtimes.conversion import Input

CALL = "import sys, _tools; _tools.mnnconvert(sys.argv)"


@dataclass(frozen=True, slots=True)
class MnnConverter:
    """MNN's converter, which writes the weights in float32."""

    makes: ClassVar[tuple[str, ...]] = ("model.mnn",)

    def version(self) -> str:
        """Version of the installed distribution."""
        try:
            return importlib.metadata.version("MNN")
        except importlib.metadata.PackageNotFoundError:
            raise DeviceFailed("mnn is not installed: pip install 'edgeprune[mnn]'") from None

    def command(self, inputs: Sequence[Input]) -> list[str]:
        """The command; in this process the converter would print, and end it when it fails."""
        files = ["--modelFile", MODEL, "--MNNModel", self.makes[0], "--bizCode", "edgeprune"]
        return [sys.executable, "-c", CALL, "-f", "ONNX", *files]
