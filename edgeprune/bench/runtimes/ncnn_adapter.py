"""Runs networks from pnnx with ncnn on the CPU, for ``worker``; see ``onnxruntime_adapter.py``."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

INSTALL = "pip install ncnn"

NARROW = (
    *("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"),
    *("use_bf16_packed", "use_bf16_storage"),
)
"""Options that would round to 16 bits; older versions lack some."""

NOTHING = "7767517\n1 1\nInput x 0 1 x\n"
"""The text of a network without operators."""


class Adapter:
    """float32 on the CPU. ncnn has no batch dimension: each tensor loses it and gets it back."""

    def __init__(self, threads: int) -> None:
        # threads that spin while they wait starve each other beside other programs
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        import ncnn
        import numpy

        self.packages = {"ncnn": ncnn.__version__, "numpy": numpy.__version__}
        self._ncnn = ncnn
        self._threads = threads
        self._net().load_param_mem(NOTHING)

    def load(self, path: Path) -> None:
        """Read network and weights from a folder that a converter made."""
        described = json.loads((path / "model.json").read_text(encoding="utf-8"))
        self._inputs = described["inputs"]
        self._loaded = self._net()
        if self._loaded.load_param(str(path / "model.param")):
            raise ValueError("it has an operator that ncnn does not have")
        if self._loaded.load_model(str(path / "model.bin")):
            raise ValueError("its weights are not whole")
        self._outputs = self._loaded.output_names()

    def declared(self) -> list[tuple[str, str, list[int]]]:
        """The inputs, under the names that pnnx gives them."""
        return [(f"in{n}", dtype, shape) for n, (_, dtype, shape) in enumerate(self._inputs)]

    def run(self, feed: dict[str, Any]) -> list[Any]:
        """One inference."""
        extractor = self._loaded.create_extractor()
        for name, array in feed.items():
            extractor.input(name, self._ncnn.Mat(array, batch_index=0))
        found = [extractor.extract(name) for name in self._outputs]
        if any(failed for failed, _ in found):
            raise ValueError("ncnn failed while it ran the model")
        return [output.numpy(batch_index=0) for _, output in found]

    def _net(self) -> Any:
        net = self._ncnn.Net()
        net.opt.num_threads = self._threads
        net.opt.use_vulkan_compute = False
        for option in NARROW:
            if hasattr(net.opt, option):
                setattr(net.opt, option, False)
        return net
