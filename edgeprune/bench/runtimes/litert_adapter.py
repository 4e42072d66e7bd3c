"""Runs .tflite files with LiteRT, for ``worker``; see ``onnxruntime_adapter.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

INSTALL = "pip install ai-edge-litert"


class Adapter:
    """The interpreter with its XNNPACK kernels, in the file's own precision."""

    def __init__(self, threads: int) -> None:
        from importlib.metadata import version

        import numpy
        from ai_edge_litert.interpreter import Interpreter

        self.packages = {"ai-edge-litert": version("ai-edge-litert"), "numpy": numpy.__version__}
        self._interpreter, self._threads = Interpreter, threads

    def load(self, path: Path) -> None:
        """Read the file and plan its memory."""
        self._loaded = self._interpreter(model_path=str(path), num_threads=self._threads)
        self._loaded.allocate_tensors()
        self._inputs = self._loaded.get_input_details()
        self._outputs = [each["index"] for each in self._loaded.get_output_details()]

    def declared(self) -> list[tuple[str, str, list[int | str]]]:
        """The inputs."""
        return [
            (
                each["name"],
                each["dtype"].__name__,
                [int(size) if size >= 0 else "" for size in each["shape_signature"]],
            )
            for each in self._inputs
        ]

    def run(self, feed: dict[str, Any]) -> list[Any]:
        """One inference."""
        if any(list(each["shape"]) != list(feed[each["name"]].shape) for each in self._inputs):
            self._resize(feed)
        for each in self._inputs:
            self._loaded.set_tensor(each["index"], feed[each["name"]])
        self._loaded.invoke()
        return [self._loaded.get_tensor(index) for index in self._outputs]

    def _resize(self, feed: dict[str, Any]) -> None:
        """Plan the memory anew, for inputs whose sizes the file leaves open."""
        for each in self._inputs:
            self._loaded.resize_tensor_input(each["index"], list(feed[each["name"]].shape))
        self._loaded.allocate_tensors()
        self._inputs = self._loaded.get_input_details()
