"""Times one model in a process of its own, and says how much memory it takes.

This file stands alone: copy it and a model to a board that has Python, numpy and the runtime, and

    python worker.py model.onnx --threads 1 --runs 50

prints a JSON summary. Without a model it serves another program: a request is a line of JSON on
standard input, an answer a line of JSON on standard output.

    {"runtime": …, "model": …, "threads": …, "seed": …, "warmup_s": …}  comes first
    {"run": n}         n latencies, in seconds
    {"outputs": seed}  what the model computes on inputs drawn with the seed
    {"stop": true}     the peak of memory; then the process ends

Whatever goes wrong is answered with {"error": one line}, and the process ends; so it does when
standard input ends, because the program that started it has gone.

Memory is resident memory above that of the process with the runtime at work on a model of one
number. On Linux the high-water mark is reset then and again after loading, and freed pages are
handed back each time: otherwise the pages that loading leaves behind hide what inference takes.
Elsewhere only the mark of its whole life is known (ru_maxrss): "idle" is then an upper bound.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import ctypes
import gc
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Serve, or with a model on the command line measure it and print the summary."""
    parser = argparse.ArgumentParser(description="Latency and memory of one model, as JSON.")
    parser.add_argument("model", nargs="?", help="without one, requests are read as JSON lines")
    parser.add_argument("--runtime", default="onnxruntime", choices=RUNTIMES)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=50)
    arguments = parser.parse_args()
    if arguments.model is None:
        if sys.stdin.isatty():
            parser.error("name a model file to measure")
        sys.exit(serve())
    try:
        samples = (bench := Bench(vars(arguments))).run(max(1, arguments.runs))
    except Exception as error:
        sys.exit(one_line(error))
    latency = {"median": statistics.median(samples), "min": min(samples), "n": len(samples)}
    print(json.dumps({"latency_s": latency, **bench.ready, **bench.stop()}, indent=2))


def serve() -> int:
    """Answer requests until told to stop; returns the exit code."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a runtime prints of its own accord must not come between the answers
    bench: Bench | None = None
    for line in sys.stdin:
        try:
            request = json.loads(line)
            answer = bench.answer(request) if bench else (bench := Bench(request)).ready
        except Exception as error:
            answer = {"error": one_line(error)}
        print(json.dumps(answer), file=answers, flush=True)
        if "error" in answer or "stop" in request:
            return int("error" in answer)
    return 0


class WorkerError(Exception):
    """Something the reader can act on; shown without its kind."""


def one_line(error: Exception) -> str:
    """The error as one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, WorkerError) else f"{type(error).__name__}: {text}"


class Bench:
    """A loaded model, warm, with its inputs; ``ready`` answers the first request."""

    def __init__(self, request: dict[str, Any]) -> None:
        threads = int(request.get("threads", 1))
        name = request.get("runtime", "onnxruntime")
        if name not in RUNTIMES:
            raise WorkerError(f"no runtime is called {name!r}: there are {', '.join(RUNTIMES)}")
        self._runtime = RUNTIMES[name](threads)
        self._memory = Memory()
        self.ready: dict[str, Any] = {"load_s": self._load(Path(request["model"]))}
        self._feed = self._runtime.inputs(int(request.get("seed", 0)))
        gc.disable()  # a collection in the middle of a run would count as the model's time
        self.ready["first_s"] = self.run(1)[0]
        self.ready["run_s"] = self._warm_up(float(request.get("warmup_s", 0.5)))
        self.ready["baseline_rss_bytes"] = self._memory.baseline
        self.ready["idle_rss_bytes"] = self._idle
        used = {"threads": threads, "runtime": name, "packages": self._runtime.packages}
        self.ready["environment"] = {**machine(), **used, "memory": self._memory.source}

    def _load(self, model: Path) -> float:
        start = time.perf_counter()
        self._runtime.load(model)
        load_s = time.perf_counter() - start
        self._load_peak = self._memory.added("VmHWM")
        self._memory.settle()
        self._idle = self._memory.added("VmRSS")
        return load_s

    def _warm_up(self, seconds: float) -> float:
        end = time.perf_counter() + seconds
        samples = self.run(1)
        while time.perf_counter() < end and len(samples) < 1000:
            samples += self.run(1)
        return statistics.median(samples)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what one request after the first asks for."""
        if "run" in request:
            return {"samples_s": self.run(int(request["run"]))}
        if "outputs" in request:
            feed = self._runtime.inputs(int(request["outputs"]))
            return {"outputs": [encoded(output) for output in self._runtime.run(feed)]}
        if "stop" in request:
            return self.stop()
        raise WorkerError(f"unknown request: {', '.join(request)}")

    def run(self, n: int) -> list[float]:
        """Latencies of ``n`` runs on the same inputs, in seconds, to the nanosecond."""
        run, feed, clock = self._runtime.run, self._feed, time.perf_counter
        samples = []
        for _ in range(n):
            start = clock()
            run(feed)
            samples.append(round(clock() - start, 9))
        return samples

    def stop(self) -> dict[str, Any]:
        """The most memory that loading or running added, in bytes, and the load average by now."""
        peak = max(self._load_peak, self._idle, self._memory.added("VmHWM"))
        return {"peak_rss_bytes": peak, "load_average": load_average()}


class Memory:
    """Resident memory of this process.

    Attributes:
        baseline: Resident bytes when this was created.
        source: "VmHWM", "VmHWM without reset", "ru_maxrss", or "none" where nothing is known.
    """

    def __init__(self) -> None:
        self.baseline = 0
        self.source = "VmHWM" if self.settle() else "VmHWM without reset"
        self.baseline = self.added("VmRSS")

    def added(self, mark: str) -> int:
        """Bytes above the baseline: now ("VmRSS"), or at most since ``settle`` ("VmHWM")."""
        with contextlib.suppress(IndexError, ValueError):
            kib = text_of(Path("/proc/self/status")).split(f"\n{mark}:")[1].split()[0]
            return max(0, int(kib) * 1024 - self.baseline)
        with contextlib.suppress(ImportError):  # Windows has no such module
            import resource

            self.source, unit = "ru_maxrss", 1 if sys.platform == "darwin" else 1024
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - self.baseline
        self.source = "none"
        return 0

    @staticmethod
    def settle() -> bool:
        """Hand freed pages back and forget the peak; False where the peak cannot be reset."""
        gc.collect()
        with contextlib.suppress(AttributeError, OSError, TypeError):  # not glibc
            ctypes.CDLL(None).malloc_trim(0)
        with contextlib.suppress(OSError):
            return bool(Path("/proc/self/clear_refs").write_text("5"))
        return False


def machine() -> dict[str, Any]:
    """What the figures were taken on; None for what the system does not say."""
    governors = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return {
        "machine": platform.machine(),
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
        "governor": ", ".join(sorted({text_of(path).strip() for path in governors})) or None,
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": load_average(),
    }


def cpu_name() -> str:
    """The processor's name, or the board's where the processor does not give one."""
    named = text_of(Path("/proc/cpuinfo")).partition("model name")[2].partition("\n")[0]
    board = text_of(Path("/proc/device-tree/model"))
    return named.strip("\t :") or board.strip("\0\n ") or platform.processor()


def text_of(path: Path) -> str:
    """The file's text; empty when it cannot be read."""
    with contextlib.suppress(OSError):
        return path.read_text(errors="replace")
    return ""


def load_average() -> list[float] | None:
    """Processes that wanted a core over the last 1, 5 and 15 minutes; None where unknown."""
    with contextlib.suppress(AttributeError, OSError):
        return [round(load, 2) for load in os.getloadavg()]
    return None


def encoded(array: Any) -> dict[str, Any]:
    """An array as JSON: little-endian bytes in base64, their type and the shape."""
    if not hasattr(array, "dtype") or array.dtype.kind not in "fiub":
        raise WorkerError(f"an output is a {type(array).__name__}, not a tensor of numbers")
    dtype = array.dtype.newbyteorder("<")
    text = base64.b64encode(array.astype(dtype).tobytes()).decode("ascii")
    return {"dtype": dtype.str, "shape": list(array.shape), "base64": text}


IDENTITY = base64.b64decode(  # an ONNX model that returns its input, float32 (1,)
    "CAgSADo3ChAKAXgSAXkiCElkZW50aXR5EgFnWg8KAXgSCgoICAESBAoCCAFiDwoBeRIKCggIARIECgIIAUIECgAQDQ=="
)


class OnnxRuntime:
    """ONNX Runtime on the CPU: ``session.run`` with every graph optimisation.

    Threads spin between operators, but no longer than a run lasts: of two loaded models the one
    that waits must not take a core from the other.
    """

    def __init__(self, threads: int) -> None:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        try:
            import numpy
            import onnxruntime
        except ImportError as error:
            raise WorkerError(f"{error} in {sys.executable}: pip install onnxruntime") from error
        self.packages = {"onnxruntime": onnxruntime.__version__, "numpy": numpy.__version__}
        self._generator: Any = numpy.random.default_rng  # loaded lazily: now, not as model memory
        self._ort = onnxruntime
        self._threads = threads
        self._open(IDENTITY).run(None, {"x": numpy.zeros(1, "f4")})  # what it takes for any model

    def load(self, model: Path) -> None:
        """Create the session."""
        try:
            self._session = self._open(str(model))
        except Exception as error:
            raise WorkerError(f"onnxruntime cannot load {model.name}: {one_line(error)}") from error

    def _open(self, model: str | bytes) -> Any:
        options = self._ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = self._ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3  # errors only
        options.add_session_config_entry("session.force_spinning_stop", "1")
        return self._ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def inputs(self, seed: int) -> dict[str, Any]:
        """Inputs of the declared types and shapes; a dimension left open is 1."""
        generator = self._generator(seed)
        feed = {}
        for declared in self._session.get_inputs():
            kind = declared.type.replace("tensor(", "").replace(")", "")
            shape = [size if isinstance(size, int) else 1 for size in declared.shape]
            if kind in ("float", "float16", "double"):
                dtype = {"float": "float32", "double": "float64"}.get(kind, kind)
                drawn = generator.standard_normal(shape, dtype="f8" if kind == "double" else "f4")
            elif kind in ("bool", "uint8", "int8", "int32", "int64"):
                dtype = kind  # bytes are an image; 0 and 1 are valid as an index and as a mask
                drawn = generator.integers(0, 256 if kind == "uint8" else 2, shape)
            else:
                raise WorkerError(f"input {declared.name!r} is a {declared.type}: cannot draw one")
            feed[declared.name] = drawn.astype(dtype, copy=False)
        return feed

    def run(self, feed: dict[str, Any]) -> list[Any]:
        """One inference."""
        outputs: list[Any] = self._session.run(None, feed)
        return outputs


RUNTIMES: dict[str, Any] = {"onnxruntime": OnnxRuntime}

if __name__ == "__main__":
    main()
