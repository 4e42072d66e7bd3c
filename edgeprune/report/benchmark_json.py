"""Latencies in the JSON of pytest-benchmark, which tools that follow benchmarks over time read.

``pytest-benchmark compare`` and github-action-benchmark are two of them. A benchmark is one of the
models, a round one inference.
"""

from __future__ import annotations

import json
import statistics
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from edgeprune import stats
from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune.report.document import Latency, ReportDocument, Side

VERSION = "4.0.0"
"""Version of pytest-benchmark's layout."""


def as_benchmark_json(report: ReportDocument) -> str:
    """Latencies of every model that was timed.

    Raises:
        UsageError: No model was timed.
    """
    sides = (("original", report.original), ("compressed", report.compressed))
    timed = [
        _benchmark(role, side, side.latency_s, report)
        for role, side in sides
        if side and side.latency_s
    ]
    if not timed:
        raise UsageError("the report holds no latencies: leave out --no-bench, or use bench")
    content = {
        "machine_info": _machine(report),
        "commit_info": {},
        "benchmarks": timed,
        "datetime": report.created,
        "version": VERSION,
    }
    return json.dumps(content, indent=2) + "\n"


def _benchmark(role: str, side: Side, latency: Latency, report: ReportDocument) -> dict[str, Any]:
    of_file = PurePath(side.onnx.path).stem if side.onnx else ""
    model = report.model.name if report.model else of_file
    return {
        "group": "latency",
        "name": role,
        "fullname": f"{model}::{role}" if model else role,
        "params": None,
        "param": None,
        "extra_info": {"macs": side.macs, "params": side.params},
        "options": {"warmup": True, "timer": "perf_counter"},
        "stats": _stats(latency.samples),
    }


def _stats(samples: Sequence[float]) -> dict[str, Any]:
    """The statistics that pytest-benchmark reports of its rounds, in seconds."""
    q1, median, q3 = (stats.quantile(samples, share) for share in (0.25, 0.5, 0.75))
    iqr, mean = q3 - q1, statistics.fmean(samples)
    spread = statistics.stdev(samples) if len(samples) > 1 else 0.0
    near = [one for one in samples if q1 - 1.5 * iqr <= one <= q3 + 1.5 * iqr]
    far, odd = len(samples) - len(near), sum(abs(one - mean) > spread for one in samples)
    return {
        "min": min(samples),
        "max": max(samples),
        "mean": mean,
        "stddev": spread,
        "rounds": len(samples),
        "median": median,
        "iqr": iqr,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": far,
        "stddev_outliers": odd,
        "outliers": f"{odd};{far}",
        "ld15iqr": min(near),
        "hd15iqr": max(near),
        "ops": 1 / mean,
        "total": sum(samples),
        "iterations": 1,
    }


def _machine(report: ReportDocument) -> dict[str, Any]:
    known = report.environment
    return {
        "node": "",
        "processor": str(known.get("machine") or ""),
        "machine": str(known.get("machine") or ""),
        "python_version": str(known.get("python") or ""),
        "system": str(known.get("os") or ""),
        "cpu": {"brand_raw": str(known.get("cpu") or ""), "count": known.get("cores")},
    }
