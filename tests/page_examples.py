"""A report like that of a real compression: many layers, several sessions, a recovery curve."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from PIL import Image

from edgeprune import stats
from edgeprune.artifacts import RatioInterval
from edgeprune.report import compare, document, gates

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENT = {
    "machine": "x86_64",
    "cpu": "Abacus 9000",
    "cores": 4,
    "threads": 1,
    "governor": "performance",
    "os": "Linux 6.1",
    "python": "3.11.7",
    "packages": {"onnxruntime": "1.31.1", "numpy": "2.1"},
    "runtime": "onnxruntime",
    "device": "local",
}


def latency(
    seconds: float, sessions: int = 5, seed: int = 0, luck: float = 0.01
) -> document.Latency:
    """Sessions of eight blocks of ten runs, each with luck of its own; some runs are slow."""
    rng = random.Random(seed)
    samples: list[float] = []
    for _ in range(sessions):
        level = seconds * math.exp(rng.gauss(0, luck))
        samples += (level * math.exp(abs(rng.gauss(0, 0.02))) for _ in range(8 * 10))
    slow = [value * (1.4 if rng.random() < 0.01 else 1) for value in samples]
    median, p90, p99 = (stats.quantile(slow, share) for share in (0.5, 0.9, 0.99))
    blocks = (10,) * (8 * sessions)
    return document.Latency(
        median, p90, p99, len(slow), tuple(slow), blocks, sessions=(8,) * sessions
    )


def side(path: str, scale: float, seed: int) -> document.Side:
    return replace(
        compare.UNKNOWN,
        macs=round(49_100_000 * scale),
        params=round(309_000 * scale),
        peak_activation_bytes=round(393_216 * scale),
        onnx=document.OnnxFile(path, round(1_237_000 * scale), "feed", 18),
        latency_s=latency(1e-3 * scale, seed=seed),
        peak_rss_bytes=round(5_780_000 * scale),
        idle_rss_bytes=round(2_900_000 * scale),
        load_s=0.04,
        first_s=0.002,
    )


def layers() -> tuple[document.Layer, ...]:
    made = []
    for number in range(1, 28):
        width = 16 * 2 ** (number // 10)
        for kind, macs, params in (
            ("Conv2d", 2_000_000, 9 * width**2),
            ("BatchNorm2d", 0, 2 * width),
        ):
            before = document.LayerCost(width, macs, params)
            after = document.LayerCost(width // 2, macs // 4, params // 4)
            name = f"layer{number // 10}.{number}.{kind.lower()}"
            made.append(document.Layer(name, kind, before, after if number % 9 else None))
    return tuple(made)


@cache
def compressed() -> document.ReportDocument:
    original, small = side("original.onnx", 1.0, 1), side("compressed.onnx", 0.6, 2)
    report = document.ReportDocument(
        schema_version=document.SCHEMA_VERSION,
        edgeprune="1.0",
        created="2026-01-02T03:04:05+00:00",
        command="edgeprune compress resnet.pt --target onnx --fail-if 'latency.ratio.high > 0.8'",
        seed=0,
        model=document.Model(
            "resnet",
            "feed",
            ((1, 3, 32, 32),),
            document.Preprocessing((0.5, 0.4, 0.3), (0.25, 0.2, 0.1)),
        ),
        budget=document.Budget("macs", 0.5, 0.498),
        original=original,
        compressed=small,
        ratio=compare.ratios(original, small, RatioInterval(0.61, 0.6, 0.62, 0.95)),
        accuracy=compare.accuracy(
            n=500, original=0.854, pruned=0.49, recovered=0.796, turned=(41, 12)
        ),
        agreement=document.Agreement(500, 0.5, 0.83, "images"),
        surgery=document.Surgery(5.6e-16, 1e-5, ()),
        parity=document.Parity(1e-6, 5e-7, 1.0, 32, (1,)),
        coverage=document.Coverage(0.93, (document.Locked("fc", "it makes the output", 0.07),)),
        recovery=(
            document.Recovery(
                *("supervise", 60.0, 256, "trained"),
                tuple((20 * n, 1 / (n + 1)) for n in range(9)),
                notes=({"kind": "chosen", "errors": {"none": 0.9, "lbyl": 0.5, "nm": 0.6}},),
            ),
        ),
        stages=(document.Stage("trace", "ok", 1.0), document.Stage("recover", "degraded", 60.0)),
        environment=ENVIRONMENT,
        notes=("the machine was busy",),
        gates=(),
        layers=layers(),
    )
    return gates.judge(report, ["latency.ratio.high > 0.8", "accuracy.drop > 5%"])


@cache
def alone() -> document.ReportDocument:
    """What ``bench`` of one model leaves."""
    return replace(
        compressed(),
        command="edgeprune bench a.onnx",
        model=None,
        budget=None,
        original=side("a.onnx", 1.0, 3),
        compressed=None,
        ratio=None,
        accuracy=None,
        agreement=None,
        surgery=None,
        parity=None,
        coverage=None,
        recovery=(),
        stages=(),
        gates=(),
        layers=(),
        notes=(),
    )


def run_directory(folder: Path) -> Path:
    """A run directory, as far as a page looks at it: a file to deploy, and a contact sheet."""
    (folder / "compressed.onnx").touch()
    Image.new("RGB", (64, 64), "teal").save(folder / "images.png")
    return folder
