"""Runs ONNX files with OpenVINO on the CPU, for ``worker``; see ``onnxruntime_adapter.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

INSTALL = "pip install openvino"


class Adapter:
    """One stream on the CPU, tuned for latency, in float32: the default would round to bfloat16."""

    def __init__(self, threads: int) -> None:
        import numpy
        import openvino

        version = openvino.__version__.partition("-")[0]
        self.packages = {"openvino": version, "numpy": numpy.__version__}
        self._core = openvino.Core()
        self._settings = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }
        x = openvino.opset13.parameter([1], numpy.float32)
        self._open(openvino.Model([openvino.opset13.relu(x)], [x])).infer([numpy.zeros(1, "f4")])

    def load(self, path: Path) -> None:
        """Compile the model and make room for its tensors."""
        self._path = path
        self._request = self._open(self._core.read_model(path))

    def declared(self) -> list[tuple[str, str, list[int | str]]]:
        """The inputs."""
        return [
            (
                each.any_name,
                each.element_type.to_dtype().name,
                [size.get_length() if size.is_static else "" for size in each.partial_shape],
            )
            for each in self._request.model_inputs
        ]

    def run(self, feed: dict[str, Any]) -> list[Any]:
        """One inference."""
        results = self._request.infer(feed, share_inputs=True)
        return [results[output] for output in self._request.model_outputs]

    def operators(self, feed: dict[str, Any], runs: int) -> list[tuple[str, str, list[float]]]:
        """Seconds of every operator that ran, under the name of its node in the file."""
        request = self._open(self._core.read_model(self._path), PERF_COUNT=True)
        seconds: dict[tuple[str, str], list[float]] = {}
        for _ in range(runs):
            request.infer(feed, share_inputs=True)
            for each in request.profiling_info:
                if (took := each.real_time.total_seconds()) > 0:
                    seconds.setdefault((each.node_name, each.node_type), []).append(took)
        return [(name, kind, samples) for (name, kind), samples in seconds.items()]

    def _open(self, model: Any, **settings: object) -> Any:
        compiled = self._core.compile_model(model, "CPU", {**self._settings, **settings})
        return compiled.create_infer_request()
