"""Runs .mnn files with MNN on the CPU, for ``worker``; see ``onnxruntime_adapter.py``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

INSTALL = "pip install MNN"


class Adapter:
    """Precision "high", which is float32 whatever the CPU could do in 16 bits."""

    def __init__(self, threads: int) -> None:
        import MNN
        import numpy
        from MNN import expr, nn

        self.packages = {"mnn": MNN.version(), "numpy": numpy.__version__}
        self._expr, self._nn, self._array = expr, nn, numpy.array
        chosen = {"backend": "CPU", "precision": "high", "numThread": threads}
        self._manager = nn.create_runtime_manager((chosen,))
        expr.relu(expr.const([0.0], [1], expr.NCHW)).read()

    def load(self, path: Path) -> None:
        """Read network and weights from a folder that a converter made."""
        described = json.loads((path / "model.json").read_text(encoding="utf-8"))
        self._inputs = described["inputs"]
        names = [name for name, _, _ in self._inputs]
        self._loaded = self._nn.load_module_from_file(
            str(path / "model.mnn"), names, described["outputs"], runtime_manager=self._manager
        )

    def declared(self) -> list[tuple[str, str, list[int]]]:
        """The inputs."""
        return [(name, dtype, shape) for name, dtype, shape in self._inputs]

    def run(self, feed: dict[str, Any]) -> list[Any]:
        """One inference; nothing is computed before an output is read."""
        flat = self._expr.NCHW
        given = [self._expr.const(array, array.shape, flat) for array in feed.values()]
        outputs = self._loaded.forward(given)
        return [self._array(self._expr.convert(each, flat).read()) for each in outputs]
