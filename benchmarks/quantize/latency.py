"""What 8 bits do to latency: all layers quantized, and only those that become faster by it.

    python benchmarks/quantize/latency.py --models FOLDER --networks mobilenet_v1_025 ds_cnn

FOLDER holds ``zoo.py`` as for accuracy.py. Each network is exported, quantized without data, and
mixed as ``compress --precision int8`` does it: layers that the runtime's own times call slower in 8
bits stay float, if the mixture is then faster as a whole. Ranges change no latency, so they are
those of BatchNorm statistics, which are quick to take. Both files are measured against the float
file anew, so that the choice does not flatter its own figure.

all int8    latency over the float file's, every layer in 8 bits
mixed       the same for the file that a run would deliver; the same file where no layer stays float
float       nodes that mixing left in float
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import edgeprune as ep
from edgeprune import bench
from edgeprune.bench.pairing import median_latency
from edgeprune.export import OnnxTarget, Quantize
from edgeprune.pipeline.mixing import mixed
from edgeprune.pipeline.stage_log import StageLog

sys.path.insert(0, str(Path(__file__).parents[1]))
zoo_networks = importlib.import_module("zoo_networks")


def measured(source: Any, settings: bench.BenchSettings, folder: Path) -> dict[str, Any]:
    """Ratios of latencies with their intervals, and what mixing did."""
    target, quantize, log = OnnxTarget(), Quantize(image_free=True), StageLog()
    exported = target(source.module, source.input, folder / "fp32.onnx", {})
    prepared = quantize.prepared(source, exported, target)
    whole = quantize.written(prepared, folder / "int8.onnx")
    every = Path(shutil.copy(whole.path, folder / "all.onnx"))
    config = ep.CompressConfig(precision="int8", bench=settings)
    final = mixed(quantize, prepared, (exported, whole), config, log)
    kept = len(final.kept_float) - len(whole.kept_float)
    all_int8 = ratio(bench.compare(exported.path, every, settings))
    return {
        "all int8": all_int8,
        "mixed": ratio(bench.compare(exported.path, final.path, settings)) if kept else all_int8,
        "float": kept,
        "mixing": log.records[0].detail,
    }


def ratio(found: Any) -> dict[str, float]:
    """Latency over the float file's, its interval, and both medians."""
    value, files = found.latency, (found.original, found.compressed)
    medians = [median_latency(each.blocks_s) for each in files]
    return {"value": value.value, "low": value.low, "high": value.high, "medians_s": medians}


def line(name: str, found: dict[str, Any]) -> str:
    """One row of the table."""
    before_ms = 1000 * found["all int8"]["medians_s"][0]
    texts = [
        f"{each['value']:.2f} ({each['low']:.2f}–{each['high']:.2f})"
        for each in (found["all int8"], found["mixed"])
    ]
    return f"| {' | '.join((name, f'{before_ms:.2f}', *texts, str(found['float'])))} |"


def main() -> None:
    """Print the table row by row, and write all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of trained networks")
    parser.add_argument("--networks", nargs="+", required=True)
    parser.add_argument("--runtime", default="onnxruntime", help="onnxruntime or openvino")
    parser.add_argument("--threads", type=int, default=1, help="threads of an inference")
    parser.add_argument("--seconds", type=float, default=30.0, help="the most a comparison takes")
    parser.add_argument("--out", type=Path, default=Path("latency.json"))
    options = parser.parse_args()
    settings = bench.BenchSettings(
        runtime=options.runtime, threads=options.threads, seconds=options.seconds
    )
    sys.path.insert(0, str(options.models))
    zoo = importlib.import_module("zoo")
    columns = ("network", "fp32, ms", "all int8 / fp32", "mixed / fp32", "nodes in float")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    results: dict[str, Any] = {}
    for name in options.networks:
        with tempfile.TemporaryDirectory() as folder:
            found = measured(zoo_networks.load(zoo, name), settings, Path(folder))
        results[name] = found
        print(line(name, found), flush=True)
        options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
