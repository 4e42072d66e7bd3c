"""The parts of report.json on what was measured: each side, their ratio, each runtime.

Part of the schema in ``document.py``; the same rules hold.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

from edgeprune.artifacts import RatioInterval  # noqa: TC001 - msgspec reads hints


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """A model file; ``path`` is relative to the report where they lie in one directory."""

    path: str
    bytes: int
    sha256: str
    opset: int | None


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds; ``blocks`` counts the samples of each block, ``sessions`` the blocks of each."""

    median: float
    p90: float
    p99: float
    n: int
    samples: tuple[float, ...]
    blocks: tuple[int, ...]
    sessions: tuple[int, ...] = ()
    p5: float | None = None

    def parts(self, lengths: tuple[int, ...]) -> list[tuple[float, ...]]:
        """The samples, cut into consecutive parts of such lengths."""
        samples = iter(self.samples)
        return [tuple(itertools.islice(samples, length)) for length in lengths]


@dataclass(frozen=True, slots=True)
class Instructions:
    """Instructions of an inference on an emulated processor, where nothing is timed.

    ``per_inference`` is the median of ``samples``, and ``repeat`` how far these lie apart, as a
    fraction of it. ``host_max_rel_diff`` is the largest difference of the outputs there from those
    of the same runtime on the host, relative to the largest output.
    """

    per_inference: int
    samples: tuple[int, ...]
    repeat: float
    host_max_rel_diff: float | None


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two models."""

    macs: int | None
    params: int | None
    peak_activation_bytes: int | None
    onnx: OnnxFile | None
    latency_s: Latency | None
    peak_rss_bytes: int | None
    idle_rss_bytes: int | None
    load_s: float | None
    first_s: float | None
    instructions: Instructions | None = None
    inferences_per_s: float | None = None
    load_peak_rss_bytes: int | None = None
    run_peak_rss_bytes: int | None = None
    profile_peak_bytes: int | None = None
    load_samples_s: tuple[float, ...] = ()
    first_samples_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Ratio:
    """Compressed / original."""

    macs: float | None
    params: float | None
    bytes: float | None
    peak_rss: float | None
    latency: RatioInterval | None
    instructions: float | None = None
    profile_peak: float | None = None


@dataclass(frozen=True, slots=True)
class Parity:
    """The ONNX file against PyTorch; from ``bench``, the second file against the first."""

    max_abs_diff: float | None
    max_rel_diff: float | None
    argmax_agreement: float | None
    n: int
    batch_sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RuntimeParity:
    """What a runtime computed against ONNX Runtime, by model; null where it was not compared."""

    original: Parity | None
    compressed: Parity | None


@dataclass(frozen=True, slots=True)
class RuntimeResult:
    """One more runtime that the same models were measured on.

    ``status`` is "wrong" where the outputs are not those of ONNX Runtime; for that, and for
    "failed", ``detail`` holds the reason.
    """

    runtime: str
    status: Literal["ok", "wrong", "failed"]
    detail: str
    original: Side | None
    compressed: Side | None
    ratio: Ratio | None
    parity: RuntimeParity | None
