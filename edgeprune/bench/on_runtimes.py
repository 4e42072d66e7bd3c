"""Several runtimes measured on the same models, and compared with the outputs of ONNX Runtime.

A runtime that rounds more, or misreads an operator, may well be the fastest. So wherever another
runtime than ONNX Runtime is measured, its outputs are compared on the same seeded inputs.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from edgeprune import bench, parity
from edgeprune.artifacts import Parity, RuntimeParity, RuntimeRun
from edgeprune.bench import quantized_files
from edgeprune.errors import DeviceFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from edgeprune.artifacts import Measurement, Progress, RatioInterval
    from edgeprune.parity import Array

REFERENCE = "onnxruntime"
INPUTS = 3
"""Inputs on which a runtime is compared with ONNX Runtime."""
OTHER_SHAPES = Parity(math.inf, math.inf, 0.0, INPUTS, (1,))
"""The comparison with a runtime that gives outputs of other shapes."""


def chosen(text: str, models: Sequence[Path] = ()) -> tuple[str, ...]:
    """The runtimes that a user names: one, several with commas between, or ``all``.

    Args:
        text: The names, as the user typed them.
        models: Files that they shall run; ``all`` are the installed runtimes that can. Empty: the
            files that edgeprune will export.

    Raises:
        UsageError: When there is none of that name.
        DeviceFailed: When ``all`` was asked for and none can.
    """
    if text != "all":
        names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
        for name in names:
            bench.RUNTIMES[name]
        return names
    able = tuple(
        row.name
        for row in bench.RUNTIMES.values()
        if row.installed() is not None
        and (all(map(row.runs, models)) if models else bool(row.target))
    )
    if not able:
        raise DeviceFailed(
            "no runtime that could run the models is installed: edgeprune doctor shows how to "
            "install one"
        )
    return able


def require(name: str, device: bench.Device) -> None:
    """Refuse a runtime that is not there before long work; another machine is asked when it comes.

    Raises:
        DeviceFailed: When it is not installed; the message has the command that installs it.
    """
    row = bench.RUNTIMES[name]
    if device == bench.LocalDevice() and row.installed() is None:
        raise DeviceFailed(f"{name} is not installed: {row.install}")


def parity_of(
    models: Sequence[Path], settings: bench.BenchSettings, progress: Progress
) -> RuntimeParity:
    """Compare what the runtime computes with ONNX Runtime on this machine.

    Args:
        models: Files; one that is not ONNX is compared with the .onnx file of its name beside it.
        settings: Settings of the measurement.
        progress: Called with the share done and what is being done.

    Returns:
        The comparison; empty for ONNX Runtime itself.

    Raises:
        DeviceFailed: When a model does not run.
    """
    if settings.runtime == REFERENCE:
        return RuntimeParity()
    row = bench.RUNTIMES[REFERENCE]
    if row.installed() is None:
        return RuntimeParity(note=f"not compared with ONNX Runtime: {row.install}")
    if not all(map(row.runs, models)):
        return RuntimeParity(note="not compared with ONNX Runtime: no .onnx file of that name")
    usual = bench.BenchSettings(seed=settings.seed, shapes=settings.shapes)
    found = []
    for share, model in enumerate(models):
        progress(share / len(models), f"outputs of {model.name}")
        seeds = range(settings.seed, settings.seed + INPUTS)
        within = quantized_files.input_ranges(model)
        wanted = bench.outputs_of_seeds(model, usual, seeds, within)
        got = bench.outputs_of_seeds(model, settings, seeds, within)
        found.append(compared(wanted, got) or OTHER_SHAPES)
    return RuntimeParity(
        tuple(found),
        tolerance=bench.RUNTIMES[settings.runtime].tolerance,
        quantized=tuple(map(quantized_files.is_quantized, models)),
    )


def further(
    names: Iterable[str],
    models: Sequence[Path],
    settings: bench.BenchSettings,
    progress: Progress,
) -> tuple[RuntimeRun, ...]:
    """Measure the models on each runtime in turn; one that fails stops no other.

    Args:
        names: Names of the runtimes.
        models: One, or the original and the compressed.
        settings: Settings of the measurement; its runtime is replaced.
        progress: Called with the share done and what is being done.
    """
    return tuple(_run(name, models, settings, progress) for name in names)


def _run(
    name: str, models: Sequence[Path], settings: bench.BenchSettings, progress: Progress
) -> RuntimeRun:
    try:
        own = replace(settings, runtime=name, arena=True)
        measured, latency = _measured(models, own, progress)
        parity = parity_of(models, own, progress)
    except (DeviceFailed, UsageError) as error:
        return RuntimeRun(name, "failed", str(error))
    if complaint := parity.complaint:
        return RuntimeRun(name, "wrong", complaint, measured, latency, parity)
    return RuntimeRun(name, "ok", parity.note, measured, latency, parity)


def _measured(
    models: Sequence[Path], settings: bench.BenchSettings, progress: Progress
) -> tuple[tuple[Measurement, ...], RatioInterval | None]:
    if len(models) == 1:
        return (bench.measure(models[0], settings, progress),), None
    found = bench.compare(models[0], models[1], settings, progress)
    return (found.original, found.compressed), found.latency


def compared(references: list[list[Array]], candidates: list[list[Array]]) -> Parity | None:
    """Compare outputs, a list of them for each input; the worst output counts.

    Returns:
        None where the outputs have other shapes.
    """
    pairs = list(zip(references, candidates, strict=True))
    if any([a.shape for a in one] != [b.shape for b in other] for one, other in pairs):
        return None
    comparison = parity.NetworkComparison()
    for one, other in pairs:
        comparison.add({str(place): array for place, array in enumerate(one)}, other)
    return comparison.result()
