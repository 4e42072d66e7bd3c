"""Runs .pte files with ExecuTorch, for ``worker``; see ``onnxruntime_adapter.py``.

Its Python binding takes PyTorch's tensors, so PyTorch is loaded; it computes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

INSTALL = "pip install executorch"

TYPES = {0: "uint8", 1: "int8", 3: "int32", 4: "int64", 5: "float16", 6: "float32", 7: "float64"}
TYPES[11] = "bool"
"""ExecuTorch's numbers of types, and NumPy's names."""


class Adapter:
    """The file's method ``forward``, with the kernels that it was lowered to."""

    def __init__(self, threads: int) -> None:
        import numpy
        import torch
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime

        portable_lib._unsafe_reset_threadpool(threads)
        torch.set_num_threads(1)  # it only carries tensors
        self.packages = {"executorch": _version(), "torch": torch.__version__}
        self.packages["numpy"] = numpy.__version__
        self._torch, self._runtime = torch, Runtime.get()

    def load(self, path: Path) -> None:
        """Read the file and plan its memory."""
        self._program = self._runtime.load_program(path)
        self._forward = self._program.load_method("forward")

    def declared(self) -> list[tuple[str, str, list[int]]]:
        """The inputs, numbered."""
        known = self._forward.metadata
        tensors = [known.input_tensor_meta(n) for n in range(known.num_inputs())]
        return [
            (f"input_{position}", TYPES.get(tensor.dtype(), "tensor"), list(tensor.sizes()))
            for position, tensor in enumerate(tensors)
        ]

    def run(self, feed: dict[str, Any]) -> list[Any]:
        """One inference."""
        outputs = self._forward.execute([self._torch.from_numpy(array) for array in feed.values()])
        return [tensor.numpy() for tensor in outputs]


def _version() -> str:
    from importlib.metadata import version

    return version("executorch")
