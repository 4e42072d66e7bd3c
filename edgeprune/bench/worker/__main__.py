"""Measures latency and memory of one model in a process of its own.

This folder stands alone: copy it, the adapter of a runtime (``runtimes/onnxruntime_adapter.py``)
and a model to a board that has Python, numpy and the runtime, and

    python worker model.onnx --threads 1 --runs 50

prints a JSON summary. Without a model it serves another program: a request is a line of JSON on
standard input, an answer a line of JSON on standard output.

    {"runtime": …, "adapter": …, "model": …, "threads": …, "seed": …, "warmup_s": …, "cores": …,
     "limit_s": …, "options": …, "shapes": …}
                       comes first; without an adapter it is RUNTIME_adapter.py beside this folder,
                       without a model the runtime is started and nothing is loaded
    {"run": n}         n latencies, in seconds
    {"outputs": seed}  what the model computes on inputs drawn with the seed; "within": the range
                       of each input that is to fill one
    {"operators": n}   name, kind and n latencies of each operator, where the runtime tells them
    {"instructions": n}  instructions of each of n runs, where an emulator counts them
    {"stop": true, "profile": …}  the peak of memory, with the runtime's own count if a profile is
                       asked for; then the process ends

An error is answered with {"error": one line}, with "usage": true where another --shape helps, and
the process ends; so it does when standard input ends, because the program that started it has gone.

Memory is resident memory above that of the process with the runtime at work on a model of one
number. On Linux the high-water mark is reset then and again after loading, and freed pages are
handed back each time: otherwise the pages that loading leaves behind hide what inference takes.
Elsewhere only the mark of its whole life is known (ru_maxrss): "idle" is then an upper bound.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeprune.bench.worker import leash, machine, tensors
    from edgeprune.bench.worker.tensors import WorkerError, WrongShape
else:  # beside this file, wherever it was copied
    import leash
    import machine
    import tensors
    from tensors import WorkerError, WrongShape

MEASURED = (
    *("load_s", "first_s", "run_s"),
    *("baseline_rss_bytes", "idle_rss_bytes", "load_peak_rss_bytes"),
)
"""What ``ready`` says of a model."""

ASK = 0x1C0DE000000
"""An offset that only ``instructions_so_far`` seeks to."""


def main() -> None:
    """Serve, or with a model on the command line measure it and print the summary."""
    parser = argparse.ArgumentParser(description="Latency and memory of one model, as JSON.")
    parser.add_argument("model", nargs="?", help="without one, requests are read as JSON lines")
    parser.add_argument("--runtime", default="onnxruntime", help="which adapter to load")
    parser.add_argument("--adapter", help="its file, if not RUNTIME_adapter.py beside the worker")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--shape", action="append", default=[], metavar="NAME:1x3x640x640")
    arguments = parser.parse_args()
    if arguments.model is None:
        if sys.stdin.isatty():
            parser.error("name a model file to measure")
        sys.exit(serve())
    try:
        request = {**vars(arguments), "shapes": dict(map(tensors.shape, arguments.shape))}
        samples = (bench := Bench(request)).run(max(1, arguments.runs))
    except Exception as error:
        sys.exit(one_line(error))
    latency = {"median": statistics.median(samples), "min": min(samples), "n": len(samples)}
    print(json.dumps({"latency_s": latency, **bench.ready, **bench.stop()}, indent=2))


def serve() -> int:
    """Answer requests until one asks to stop; returns the exit code."""
    parent = os.getppid()
    leash.end_with_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a runtime prints of its own accord must not come between the answers
    bench: Bench | None = None
    limit_s: float | None = None
    for line in sys.stdin:
        try:
            request = json.loads(line)
            limit_s = request.get("limit_s", limit_s)
            leash.end_after(limit_s)
            answer = bench.answer(request) if bench else (bench := Bench(request, parent)).ready
        except Exception as error:
            answer = {"error": one_line(error), "usage": isinstance(error, WrongShape)}
        leash.end_after(None)
        print(json.dumps(answer), file=answers, flush=True)
        if "error" in answer or "stop" in request:
            return int("error" in answer)
    return 0


def one_line(error: Exception) -> str:
    """The error as one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, WorkerError) else f"{type(error).__name__}: {text}"


class Bench:
    """A loaded model, warm, with its inputs; ``ready`` answers the first request."""

    def __init__(self, request: dict[str, Any], parent: int | None = None) -> None:
        threads = int(request.get("threads", 1))
        around = machine.facts()
        # first of all: the threads of the runtime inherit it
        around["pinned"] = machine.pinned(threads, request.get("cores"))
        if parent is not None:  # from here on, so that the thread stays on the same cores
            threading.Thread(target=leash.watch, args=(parent,), daemon=True).start()
        name = request.get("runtime") or "onnxruntime"
        adapter = Path(request.get("adapter") or adapter_beside(name))
        self._runtime = started(adapter, threads, request.get("options") or {})
        self._name = name
        self._memory = machine.Memory()
        used = {"threads": threads, "runtime": name, "packages": self._runtime.packages}
        environment = {**around, **used, "memory": self._memory.source}
        self.ready: dict[str, Any] = {**dict.fromkeys(MEASURED, 0), "environment": environment}
        if request.get("model"):
            self._measure(request)

    def _measure(self, request: dict[str, Any]) -> None:
        """Load the model, and run it until it is warm."""
        self.ready["load_s"] = self._load(Path(request["model"]))
        declared = self._runtime.declared()
        self._inputs = tensors.sized(declared, request.get("shapes") or {})
        self.ready["environment"]["shapes"] = _opened(declared, self._inputs)
        self._feed = tensors.inputs(self._inputs, int(request.get("seed", 0)))
        gc.disable()  # a collection in the middle of a run would count as the model's time
        self.ready["first_s"] = self.run(1)[0]
        self.ready["run_s"] = self._warm_up(float(request.get("warmup_s", 0.5)))
        self.ready["baseline_rss_bytes"] = self._memory.baseline
        self.ready["idle_rss_bytes"] = self._idle
        self.ready["load_peak_rss_bytes"] = max(self._load_peak, self._idle)

    def _load(self, model: Path) -> float:
        start = time.perf_counter()
        try:
            self._runtime.load(model)
        except Exception as error:
            why = one_line(error)
            raise WorkerError(f"{self._name} cannot load {model.name}: {why}") from error
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
            seed, within = int(request["outputs"]), request.get("within") or ()
            feed = tensors.inputs(self._inputs, seed, within)
            return {"outputs": [tensors.encoded(output) for output in self._runtime.run(feed)]}
        if "operators" in request:
            told = getattr(self._runtime, "operators", None)
            return {"operators": told(self._feed, int(request["operators"])) if told else None}
        if "instructions" in request:
            return {"instructions": self.count(int(request["instructions"]))}
        if "stop" in request:
            return self.stop(profile=request.get("profile", False))
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

    def count(self, n: int) -> list[int]:
        """Instructions of each of ``n`` runs, with a few thousand for calling and counting."""
        run, feed = self._runtime.run, self._feed
        with tempfile.TemporaryFile() as counter:
            for _ in range(16):  # Python runs a function in another way after some calls
                instructions_of(lambda _: None, feed, counter.fileno())
            return [instructions_of(run, feed, counter.fileno()) for _ in range(n)]

    def stop(self, *, profile: bool = False) -> dict[str, Any]:
        """Peak memory that running added, the runtime's own count, and load and clock by now."""
        peak = max(self._idle, self._memory.added("VmHWM"))  # before a profile adds its own
        counted = getattr(self._runtime, "profile", None) if profile else None
        return {
            "run_peak_rss_bytes": peak,
            "profile_peak_bytes": counted(self._feed) if counted else None,
            "load_average": machine.load_average(),
            "clock": machine.clock(),
        }


def _opened(declared: Any, inputs: Any) -> dict[str, str] | None:
    """What the inputs that the file leaves open were given as; None where it leaves none."""
    found = {
        name: "x".join(map(str, shape))
        for place, (name, _, shape) in enumerate(inputs)
        if shape != declared[place][2]
    }
    return found or None


def instructions_of(run: Any, feed: dict[str, Any], counter: int) -> int:
    """Instructions of one run; ``counter`` is that of ``instructions_so_far``."""
    before = instructions_so_far(counter)
    run(feed)
    return instructions_so_far(counter) - before


def instructions_so_far(counter: int) -> int:
    """The count that ``devices/count_instructions.c`` keeps of this thread.

    Args:
        counter: Descriptor of a file; the emulator writes the count to it when this program seeks
            to ``ASK`` there.
    """
    os.lseek(counter, ASK, os.SEEK_SET)
    answer = os.pread(counter, 8, 0)
    if not answer:
        raise WorkerError("nothing counts instructions here; --device qemu-arm64 does")
    return int.from_bytes(answer, sys.byteorder)


def adapter_beside(runtime: str) -> Path:
    """The adapter of a runtime in this folder or beside it, or in ``runtimes`` there."""
    here = Path(__file__).resolve().parent
    folders = (here.parent / "runtimes", here.parent, here)
    found = {path.name: path for folder in folders for path in folder.glob("*_adapter.py")}
    if f"{runtime}_adapter.py" not in found:
        there = ", ".join(sorted(name.removesuffix("_adapter.py") for name in found)) or "none"
        raise WorkerError(f"no runtime is called {runtime!r}: there are adapters for {there}")
    return found[f"{runtime}_adapter.py"]


def started(adapter: Path, threads: int, options: dict[str, Any]) -> Any:
    """The runtime, imported and at work; ``adapter`` is a file with a class ``Adapter``."""
    spec = importlib.util.spec_from_file_location("adapter", adapter)
    if spec is None or spec.loader is None or not adapter.is_file():
        raise WorkerError(f"no adapter at {adapter}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        import numpy.random  # lazily loaded: now, not as the model's memory  # noqa: F401

        return module.Adapter(threads, **options)
    except ImportError as error:
        raise WorkerError(f"{error} in {sys.executable}: {module.INSTALL}") from error


if __name__ == "__main__":
    main()
