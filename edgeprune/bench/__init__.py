"""Latency and memory of ONNX files, on a device, without torch.

    compare(original, compressed) → Comparison: alternately, with the ratio's interval
    measure(model) → Measurement: one model on its own
    outputs(model, seed=…) → what the file computes there

Each model runs in a fresh child process that has only the runtime: see ``worker.py``.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeprune.artifacts import Comparison, Measurement
from edgeprune.bench import pairing, worker
from edgeprune.bench.conversation import Worker
from edgeprune.bench.devices import DEVICES, Device, LocalDevice
from edgeprune.choices import Choices
from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from edgeprune.artifacts import Progress
    from edgeprune.bench.conversation import Stopped

__all__ = [
    "DEVICES",
    "RUNTIMES",
    "BenchSettings",
    "Device",
    "LocalDevice",
    "Single",
    "Worker",
    "compare",
    "measure",
    "measure_alone",
    "outputs",
    "outputs_of_seeds",
]

RUNTIMES: Choices[Any] = Choices("runtime", worker.RUNTIMES)

WARM_UP_S = 0.5


@dataclass(frozen=True, slots=True)
class BenchSettings:
    """Where and how to measure.

    Attributes:
        runtime: One of ``RUNTIMES``; it must be installed on the device.
        device: One of ``DEVICES``, made, or your own.
        threads: That one inference may use.
        seconds: Time for the timed runs of all models together. Larger: a narrower interval.
            Eight rounds are run even if they take longer.
        seed: Of the inputs and of the bootstrap.

    Raises:
        UsageError: When one of them cannot be.
    """

    runtime: str = "onnxruntime"
    device: Device = LocalDevice()  # noqa: RUF009 - frozen
    threads: int = 1
    seconds: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        RUNTIMES[self.runtime]
        if self.threads < 1:
            raise UsageError(f"threads must be 1 or more, not {self.threads}")
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise UsageError(f"seconds must be more than 0, not {self.seconds}")
        if self.seed < 0:
            raise UsageError(f"seed must be 0 or more, not {self.seed}")


@dataclass(frozen=True, slots=True)
class Single:
    """One model measured on its own, with the environment and notes that ``Comparison`` has."""

    measurement: Measurement
    environment: dict[str, object]
    notes: tuple[str, ...] = ()


def compare(
    original: Path,
    compressed: Path,
    settings: BenchSettings | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Measure two models alternately, each in its own process.

    Args:
        original: ONNX file.
        compressed: ONNX file that takes the same inputs.
        settings: Where and how.
        progress: Hears how far it is.

    Raises:
        UsageError: When a file does not exist.
        DeviceFailed: When the device, the runtime or a model does not do its part.
    """
    settings, progress = settings or BenchSettings(), progress or _silent
    with ExitStack() as processes:
        before, after = (
            processes.enter_context(_start(model, settings, progress))
            for model in (original, compressed)
        )
        blocks_before, blocks_after = pairing.alternate(before, after, settings.seconds, progress)
        stopped_before, stopped_after = before.stop(), after.stop()
    latency = pairing.latency_ratio(blocks_before, blocks_after, settings.seed)
    environment = _environment(before, stopped_before, settings)
    noise = pairing.noise_notes(pairing.round_medians(blocks_before), environment)
    return Comparison(
        original=_measurement(before, blocks_before, stopped_before),
        compressed=_measurement(after, blocks_after, stopped_after),
        latency=latency,
        environment=environment,
        notes=(*pairing.ratio_notes(latency), *noise),
    )


def measure(
    model: Path, settings: BenchSettings | None = None, progress: Progress | None = None
) -> Measurement:
    """Measure one model on its own; raises as ``compare`` does."""
    return measure_alone(model, settings, progress).measurement


def measure_alone(
    model: Path, settings: BenchSettings | None = None, progress: Progress | None = None
) -> Single:
    """As ``measure``, with what a report says about the machine."""
    settings, progress = settings or BenchSettings(), progress or _silent
    with _start(model, settings, progress) as process:
        blocks = pairing.alone(process, settings.seconds, progress)
        stopped = process.stop()
    environment = _environment(process, stopped, settings)
    notes = pairing.noise_notes(pairing.round_medians(blocks), environment)
    return Single(_measurement(process, blocks, stopped), environment, tuple(notes))


def outputs(
    model: Path, settings: BenchSettings | None = None, seed: int = 0
) -> list[NDArray[Any]]:
    """What the model computes on the device, on inputs drawn with ``seed``.

    Files with inputs of the same shapes and types get the same values, so their outputs compare.
    Raises as ``compare`` does.
    """
    return outputs_of_seeds(model, settings, (seed,))[0]


def outputs_of_seeds(
    model: Path, settings: BenchSettings | None, seeds: Iterable[int]
) -> list[list[NDArray[Any]]]:
    """As ``outputs``, for many seeds with the model loaded once."""
    with _start(model, settings or BenchSettings(), _silent, warm_up_s=0.0) as process:
        return [process.outputs(seed) for seed in seeds]


def _start(
    model: Path, settings: BenchSettings, progress: Progress, *, warm_up_s: float = WARM_UP_S
) -> Worker:
    if not model.is_file():
        raise UsageError(f"no model file at {model}")
    progress(0.0, f"loading {model.name}")
    request = {
        "runtime": settings.runtime,
        "model": str(model.resolve()),
        "threads": settings.threads,
        "seed": settings.seed,
        "warmup_s": warm_up_s,
    }
    return settings.device.start(request)


def _measurement(process: Worker, blocks: pairing.Blocks, stopped: Stopped) -> Measurement:
    ready = process.ready
    return Measurement(
        blocks_s=blocks,
        load_s=ready.load_s,
        first_s=ready.first_s,
        baseline_rss_bytes=ready.baseline_rss_bytes,
        idle_rss_bytes=ready.idle_rss_bytes,
        peak_rss_bytes=stopped.peak_rss_bytes,
    )


def _environment(process: Worker, stopped: Stopped, settings: BenchSettings) -> dict[str, object]:
    """What the worker says of its machine, with the load average from start to end."""
    seen = process.ready.environment
    loads = {"start": seen["load_average"], "end": stopped.load_average}
    return {**seen, "device": settings.device.name, "load_average": loads}


def _silent(share: float, doing: str) -> None:
    """Report progress to nobody."""
