"""A device that replays latencies which a test wrote itself: the one fake among the devices."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeprune.bench.worker_process import FinalState, Ready

ENVIRONMENT = {
    "machine": "abacus",
    "cores": 4,
    "load_average": (0.1, 0.1, 0.1),
    "memory": "VmHWM",
    "pinned": [3],
}


@dataclass
class Replay:
    """Starts models that take ``latency(name, start, now)`` seconds.

    ``name`` is the model file's, ``start`` counts processes and ``now`` all runs so far. The diary
    has (name, "start", cores), (name, "run", n) and (name, "stop", profile).
    """

    latency: object
    run_s: float = 0.01
    name: str = "replay"
    measures: str = "latency"
    diary: list = field(default_factory=list)
    runs: int = 0
    starts: int = 0

    def start(self, request):
        model = str(request["model"]).rpartition("/")[2].removesuffix(".onnx")
        self.diary.append((model, "start", request["cores"]))
        self.starts += 1
        return Replayed(self, model, self.starts)

    def of(self, *kinds):
        return [entry for entry in self.diary if entry[1] in kinds]


class Replayed:
    """A loaded model; its memory depends on the process, so that tests can tell them apart."""

    def __init__(self, device, model, start):
        self._device, self._model, self._start = device, model, start
        self.ready = Ready(
            load_s=0.1 * start,
            first_s=0.01 * start,
            run_s=device.run_s,
            baseline_rss_bytes=1000,
            idle_rss_bytes=100,
            load_peak_rss_bytes=300 + start,
            environment=ENVIRONMENT,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def run(self, n):
        device = self._device
        device.diary.append((self._model, "run", n))
        before, device.runs = device.runs, device.runs + n
        return tuple(
            device.latency(self._model, self._start, now) for now in range(before, device.runs)
        )

    def stop(self, *, profile):
        self._device.diary.append((self._model, "stop", profile))
        return FinalState(200 + self._start, 64 if profile else None, (0.2, 0.1, 0.1))
