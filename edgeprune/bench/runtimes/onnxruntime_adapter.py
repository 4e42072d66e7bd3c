"""Runs ONNX files with ONNX Runtime on the CPU, for ``worker``; stands alone like it.

Every adapter has the same face, and knows nothing of edgeprune:

    INSTALL                         the command that installs the runtime
    Adapter(threads, **options)     imports the runtime and lets it work on next to nothing, so that
                                    what is loaded later is the model and not the library
    .packages                       versions, by name
    .load(path)                     a file, or a folder of what a converter wrote
    .declared()                     the inputs: name, NumPy type, shape; a dimension left open is
                                    its name, or ""
    .run(feed)                      one inference: arrays by name in, a list of arrays out
    .profile(feed)                  if the runtime can count: the bytes that one inference takes at
                                    most, by its own count, the same in every run
    .operators(feed, runs)          if the runtime can tell: name, kind and seconds of each run of
                                    every operator, in the order of execution
"""

from __future__ import annotations

import base64
import json
import os
import tempfile
from pathlib import Path
from typing import Any

INSTALL = "pip install onnxruntime"

IDENTITY = base64.b64decode(  # an ONNX model that returns its input, float32 (1,)
    "CAgSADo3ChAKAXgSAXkiCElkZW50aXR5EgFnWg8KAXgSCgoICAESBAoCCAFiDwoBeRIKCggIARIECgIIAUIECgAQDQ=="
)

KERNEL = "_kernel_time"
"""Ends the name of the event that tells how long an operator ran."""

TYPES = {"tensor(float)": "float32", "tensor(double)": "float64"}
"""ONNX Runtime's names of types that NumPy calls otherwise."""


class Adapter:
    """``session.run`` with every graph optimisation.

    Threads spin between operators, but no longer than a run lasts: of two loaded models the one
    that waits must not take a core from the other.
    """

    def __init__(self, threads: int, *, arena: bool = True) -> None:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import numpy
        import onnxruntime

        self.packages = {"onnxruntime": onnxruntime.__version__, "numpy": numpy.__version__}
        self._ort = onnxruntime
        self._threads = threads
        self._arena = arena
        self._open(IDENTITY).run(None, {"x": numpy.zeros(1, "f4")})

    def load(self, path: Path) -> None:
        """Create the session."""
        self._session = self._open(str(path))
        self._path = path

    def declared(self) -> list[tuple[str, str, list[int | str]]]:
        """The inputs."""
        return [
            (
                each.name,
                TYPES.get(each.type, each.type.replace("tensor(", "").replace(")", "")),
                [size if isinstance(size, int) else size or "" for size in each.shape],
            )
            for each in self._session.get_inputs()
        ]

    def run(self, feed: dict[str, Any]) -> list[Any]:
        """One inference."""
        outputs: list[Any] = self._session.run(None, feed)
        return outputs

    def profile(self, feed: dict[str, Any]) -> int | None:
        """The most that the arena has handed out during one inference, in bytes.

        That is tensors, scratch and weights that kernels repack, not those used as they are. The
        arena's count is written after every operator; the largest is the peak. It is read in a
        session of its own, because the arena must be on and its plan for later inferences off: by
        that plan they take one block for all, which is not the sum of its parts.
        """
        options = self._options()
        options.enable_cpu_mem_arena = True
        options.enable_mem_pattern = False
        events = self._events(options, feed, 1)
        counts = [event.get("args", {}).get("mem_in_use_peak") for event in events]
        return max((int(count) for count in counts if count is not None), default=None)

    def operators(self, feed: dict[str, Any], runs: int) -> list[tuple[str, str, list[float]]]:
        """Seconds of every operator of the optimised graph, to the microsecond.

        A fused operator has the name of one of its nodes or of the tensor that it makes, with a
        suffix.
        """
        seconds: dict[tuple[str, str], list[float]] = {}
        for event in self._events(self._options(), feed, runs):
            name, measured, _ = event["name"].rpartition(KERNEL)
            if measured and event.get("cat") == "Node":
                key = (name, event["args"]["op_name"])
                seconds.setdefault(key, []).append(event["dur"] * 1e-6)
        return [(name, kind, samples) for (name, kind), samples in seconds.items()]

    def _events(self, options: Any, feed: dict[str, Any], runs: int) -> list[dict[str, Any]]:
        """The runtime's log of ``runs`` inferences in a session of their own."""
        with tempfile.TemporaryDirectory() as folder:
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "profile")
            session = self._started(str(self._path), options)
            for _ in range(runs):
                session.run(None, feed)
            log = Path(session.end_profiling()).read_text(encoding="utf-8")
        events: list[dict[str, Any]] = json.loads(log)
        return events

    def _open(self, model: str | bytes) -> Any:
        return self._started(model, self._options())

    def _started(self, model: str | bytes, options: Any) -> Any:
        return self._ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def _options(self) -> Any:
        options = self._ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = self._ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3  # errors only
        options.enable_cpu_mem_arena = self._arena
        options.add_session_config_entry("session.force_spinning_stop", "1")
        return options
