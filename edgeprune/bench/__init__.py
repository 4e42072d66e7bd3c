"""Latency and memory of ONNX files, on a device, without torch.

    compare(original, compressed) → LatencyComparison: alternately, with the ratio's interval
    measure(model) → Measurement: one model on its own
    outputs(model, seed=…) → the outputs of the file there

Each model runs in fresh child processes that have only the runtime: see ``worker/``. A pair of
processes is a session (``pairing.py``), a measurement several of them (``sessions.py``).
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from edgeprune import own_files
from edgeprune.artifacts import LatencyComparison, Measurement, no_progress
from edgeprune.bench import notes, pairing, sessions, throttling
from edgeprune.bench.devices import DEVICES, Device, LocalDevice, ReachableDevice
from edgeprune.bench.runtimes import RUNTIMES
from edgeprune.bench.settings import BenchSettings
from edgeprune.bench.worker_process import Worker
from edgeprune.errors import ModelRefused, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edgeprune.artifacts import Progress, Range
    from edgeprune.bench.sessions import Series

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
    "processor",
    "reach",
    "start_worker",
]

WARM_UP_S = 0.2
GRACE_S = 15.0
"""Time for one answer beyond that of the whole measurement: for loading, and for slow models."""


@dataclass(frozen=True, slots=True)
class Single:
    """One model measured on its own, with environment and notes as in ``LatencyComparison``."""

    measurement: Measurement
    environment: dict[str, object]
    notes: tuple[str, ...] = ()


def compare(
    original: Path,
    compressed: Path,
    settings: BenchSettings | None = None,
    progress: Progress | None = None,
) -> LatencyComparison:
    """Measure two models alternately, session after session.

    Args:
        original: ONNX file.
        compressed: ONNX file that takes the same inputs.
        settings: Where and how to measure.
        progress: Called with the share done and what is being done.

    Raises:
        UsageError: When a file does not exist.
        DeviceFailed: When the device, the runtime or a model does not do its part.
    """
    settings = settings or BenchSettings()
    series = _series((original, compressed), settings, progress or no_progress)
    before, after = _measurements(series)
    environment = _environment(series, settings)
    medians = pairing.median_latency(after.blocks_s) / pairing.median_latency(before.blocks_s)
    return LatencyComparison(
        original=before,
        compressed=after,
        latency=series.ratio,
        environment=environment,
        notes=(
            *notes.of_series(series, seconds=settings.seconds, within=settings.within),
            *notes.of_ratio(series.ratio, medians),
            *notes.of_shapes(environment),
            *notes.of_machine(pairing.round_medians(before.blocks_s), environment),
            *throttling.notes([session.clocks for session in series.sessions], environment),
        ),
    )


def measure(
    model: Path, settings: BenchSettings | None = None, progress: Progress | None = None
) -> Measurement:
    """Measure one model on its own; it raises what ``compare`` raises."""
    return measure_alone(model, settings, progress).measurement


def measure_alone(
    model: Path, settings: BenchSettings | None = None, progress: Progress | None = None
) -> Single:
    """Measure one model on its own, with the environment and the notes of a report."""
    settings = settings or BenchSettings()
    series = _series((model,), settings, progress or no_progress)
    (measurement,) = _measurements(series)
    environment = _environment(series, settings)
    warnings = (
        *notes.of_series(series, seconds=settings.seconds, within=settings.within),
        *notes.of_shapes(environment),
        *notes.of_machine(pairing.round_medians(measurement.blocks_s), environment),
        *throttling.notes([session.clocks for session in series.sessions], environment),
    )
    return Single(measurement, environment, warnings)


def outputs(
    model: Path, settings: BenchSettings | None = None, seed: int = 0
) -> list[NDArray[Any]]:
    """Outputs of the model on the device, on inputs drawn with ``seed``.

    Files with inputs of the same shapes and types get the same values, so their outputs compare. It
    raises what ``compare`` raises.
    """
    return outputs_of_seeds(model, settings, (seed,))[0]


def outputs_of_seeds(
    model: Path,
    settings: BenchSettings | None,
    seeds: Iterable[int],
    within: Sequence[Range | None] = (),
) -> list[list[NDArray[Any]]]:
    """Outputs of the model for many seeds, with the model loaded once; see ``outputs``.

    ``within`` has the range of each input that is to fill one; the others are standard normal.
    """
    asked = tuple(seeds)

    def answers() -> list[list[NDArray[Any]]]:
        with start_worker(
            model, settings or BenchSettings(), no_progress, warm_up_s=0.0
        ) as process:
            return [process.outputs(seed, within) for seed in asked]

    return sessions.persist(answers, [])


def start_worker(
    model: Path,
    settings: BenchSettings,
    progress: Progress,
    *,
    warm_up_s: float = WARM_UP_S,
    cores: list[int] | None = None,
) -> Worker:
    """Load a model in a fresh process on the device; it raises what ``compare`` raises.

    Args:
        model: ONNX file.
        settings: Where and how to load it.
        progress: Called once, before it is loaded.
        warm_up_s: Time that it runs before it is ready, in seconds.
        cores: The cores that the process stays on; None: it chooses.
    """
    progress(0.0, f"loading {model.name}")
    return _start(_prepared(model, settings), settings, warm_up_s, cores)


def _start(
    file: Path, settings: BenchSettings, warm_up_s: float, cores: list[int] | None
) -> Worker:
    """Load a file of the kind that the runtime takes, unless it may hold somebody's code."""
    _require_own(file, settings)
    own = {"seed": settings.seed, "warmup_s": warm_up_s, "cores": cores}
    return settings.device.start({**_started(settings), "model": str(file.resolve()), **own})


def reach(settings: BenchSettings) -> None:
    """Start the runtime on the device once, before long work.

    Raises:
        UsageError: When the device cannot take the settings.
        DeviceFailed: When it cannot be reached, or has no such runtime.
    """
    if isinstance(settings.device, ReachableDevice):
        settings.device.reach(_started(settings))


def processor(settings: BenchSettings) -> str:
    """The device's kind of processor, as ``platform.machine`` says there: "x86_64", "aarch64".

    It raises what ``reach`` raises.
    """
    if isinstance(settings.device, LocalDevice):
        return platform.machine()
    with settings.device.start(_started(settings)) as process:
        return str(process.ready.environment["machine"])


def _started(settings: BenchSettings) -> dict[str, object]:
    """The part of a request that starts the runtime."""
    return {
        "runtime": settings.runtime,
        "adapter": str(RUNTIMES[settings.runtime].adapter),
        "threads": settings.threads,
        "options": {} if settings.arena else {"arena": False},
        "shapes": {} if RUNTIMES[settings.runtime].convert else dict(settings.shapes),
        "limit_s": settings.seconds + GRACE_S,
    }


def _prepared(model: Path, settings: BenchSettings) -> Path:
    if not model.is_file():
        raise UsageError(f"no model file at {model}")
    file = RUNTIMES[settings.runtime].prepared(model, settings.shapes)
    _require_own(file, settings)
    return file


def _require_own(file: Path, settings: BenchSettings) -> None:
    runtime = RUNTIMES[settings.runtime]
    if runtime.runs_code and not settings.trust and not own_files.is_own(file):
        raise ModelRefused(
            f"'{file}' was not written by edgeprune here, and {runtime.name} runs code that "
            f"{runtime.takes} files hold; pass --trust if you trust its sender"
        )


def _series(models: tuple[Path, ...], settings: BenchSettings, progress: Progress) -> Series:
    files = []
    for model in models:  # before the clock runs: converting one may take long
        progress(0.0, f"loading {model.name}")
        files.append(_prepared(model, settings))

    def start(number: int, cores: list[int] | None) -> Worker:
        return _start(files[number], settings, WARM_UP_S, cores)

    run_session = partial(pairing.run_session, start, len(models))
    return sessions.gather(
        run_session, seconds=settings.seconds, within=settings.within, progress=progress
    )


def _measurements(series: Series) -> tuple[Measurement, ...]:
    sides = zip(*(session.sides for session in series.sessions), strict=True)
    return tuple(map(Measurement, sides, series.sessions[0].profiles))


def _environment(series: Series, settings: BenchSettings) -> dict[str, object]:
    """The machine as the first worker describes it, with load, clock and cores of all sessions."""
    first, last = series.sessions[0], series.sessions[-1]
    loads = {"start": first.load_averages[0], "end": last.load_averages[1]}
    pinned = {core for session in series.sessions for core in session.environment["pinned"] or ()}
    return {
        **first.environment,
        "device": settings.device.name,
        "load_average": loads,
        "clock": {"start": first.clocks[0], "end": last.clocks[1]},
        "pinned": sorted(pinned) or None,
    }
