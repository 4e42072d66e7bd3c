"""Pruning and int8 together, beside pruning alone: accuracy, size and latency.

    python benchmarks/quantize/pruned.py --models FOLDER --networks resnet56 --macs 1 0.7 0.5

FOLDER holds ``zoo.py`` and ``metrics.py`` as for accuracy.py. Each row is one run of the product,
no image seen: prune to the share of multiply-accumulates (1: nothing is pruned), recover, export,
quantize, keep in float what is faster in float.

float   top-1 or mAP50 of the compressed network's float file, and its latency over the original's
int8    the same of its int8 file, delivered or not; size over the original's file
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import onnxruntime

import edgeprune as ep
from edgeprune import bench, units
from edgeprune.pruning import Allocation
from edgeprune.recovery import METHODS

sys.path.insert(0, str(Path(__file__).parents[1]))
zoo_networks = importlib.import_module("zoo_networks")


def score(metrics: Any, path: Path, name: str) -> float:
    """The metric of a file, on all samples."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def predict(inputs: Any) -> Any:
        outputs = session.run(None, {session.get_inputs()[0].name: inputs})
        return outputs[0] if len(outputs) == 1 else outputs

    return float(metrics.evaluate(predict, name, batch_size=1))


def measured(source: Any, share: float, options: argparse.Namespace) -> dict[str, Any]:
    """One run; both files of the compressed network are measured beside the original's anew."""
    settings = bench.BenchSettings(seconds=options.seconds, runtime=options.runtime)
    config = ep.CompressConfig(
        budget=ep.Macs(share),
        allocation=Allocation(unit=options.unit),
        recover=(METHODS[options.recover](),) if share < 1 else (),
        precision="int8",
        bench=settings,
    )
    report = ep.compress(source, config=config)
    folder, document = report.directory, report.document
    original, ends = folder / "original.onnx", document.precision.beside
    other, delivered = folder / ends, folder / "compressed.onnx"
    is_int8 = document.precision.delivered == "int8"
    files = {"int8": delivered, "float": other} if is_int8 else {"int8": other, "float": delivered}
    rows = {
        kind: {
            "score": score(options.metrics, path, source.name),
            "size": path.stat().st_size / original.stat().st_size,
            "latency": ratio(bench.compare(original, path, settings).latency),
        }
        for kind, path in files.items()
    }
    return {"macs": document.ratio.macs, "delivered": document.precision.delivered, **rows}


def ratio(found: Any) -> tuple[float, float, float]:
    """Latency over the original's, and the interval."""
    return found.value, found.low, found.high


def line(name: str, found: dict[str, Any], before: float) -> str:
    """One row of the table."""
    cells = [name, units.percent(found["macs"])]
    for kind in ("float", "int8"):
        each = found[kind]
        value, low, high = each["latency"]
        cells += [f"{each['score'] - before:+.1f}", f"{value:.2f} ({low:.2f}–{high:.2f})"]
    return f"| {' | '.join((*cells, format(found['int8']['size'], '.2f'), found['delivered']))} |"


def main() -> None:
    """Print the table row by row, and write all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of trained networks")
    parser.add_argument("--networks", nargs="+", required=True)
    parser.add_argument("--macs", nargs="+", type=float, default=(1.0, 0.7, 0.5))
    parser.add_argument("--unit", type=int, default=0, help="widths are multiples; 0: automatic")
    parser.add_argument("--recover", default="reconstruct", help="a recovery method")
    parser.add_argument("--runtime", default="onnxruntime", help="onnxruntime or openvino")
    parser.add_argument("--seconds", type=float, default=10.0, help="the most a comparison takes")
    parser.add_argument("--out", type=Path, default=Path("pruned.json"))
    options = parser.parse_args()
    sys.path.insert(0, str(options.models))
    zoo, options.metrics = importlib.import_module("zoo"), importlib.import_module("metrics")
    columns = ("network", "MACs", "float, points", "float / original", "int8, points",
               "int8 / original", "size", "delivered")  # fmt: skip
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    results: dict[str, Any] = {}
    for name in options.networks:
        source = zoo_networks.load(zoo, name)
        before = float(options.metrics.evaluate(zoo.predictor(source.module), name))
        for share in options.macs:
            found = measured(source, share, options)
            results[f"{name} {share}"] = {"original": before, **found}
            print(line(name, found, before), flush=True)
            options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
