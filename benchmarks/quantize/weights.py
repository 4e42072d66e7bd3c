"""What fewer bits of weights cost, and what rounding them for their layers' outputs gains.

    python benchmarks/quantize/weights.py --models FOLDER --networks resnet20 ds_cnn

FOLDER holds ``zoo.py`` and ``metrics.py`` as for accuracy.py; every file is scored on all samples,
with the standard error of its difference from the float file. No image is seen.

fp16           weights in 16-bit floats
int8, int8 n   weights and activations in 8 bits, rounded for outputs, and to the nearest codes
int4, int4 n   weights in 4 bits, rounded for outputs, and to the nearest codes
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeprune.export import OnnxTarget, Quantize
from edgeprune.export.store_weights import StoreWeights, four_bit_target
from edgeprune.export.weight_rounding import Nearest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
accuracy, zoo_networks = (
    importlib.import_module("accuracy"),
    importlib.import_module("zoo_networks"),
)

WAYS = {
    "fp16": StoreWeights("fp16"),
    "int8": Quantize(),
    "int8 n": Quantize(weight_rounding=Nearest()),
    "int4": StoreWeights("int4"),
    "int4 n": StoreWeights("int4", weight_rounding=Nearest()),
}


def measured(source: Any, scored: Any, count: int, folder: Path) -> dict[str, Any]:
    """Points lost, the error of outputs on held-out procedural images, and size of every file."""
    target = four_bit_target(OnnxTarget())
    exported = target(source.module, source.input, folder / "fp32.onnx", {})
    before = scored.outputs(exported.path)
    found: dict[str, Any] = {"fp32": scored.score(before, range(len(before)))}
    for label, way in WAYS.items():
        fewer = {"count": count} if not isinstance(way, StoreWeights) else {}
        path = folder / f"{label}.onnx"
        made = replace(way, **fewer)(source, exported, target, path)
        points, error = scored.difference([scored.outputs(path)], before)
        found[label] = {
            "points": points,
            "error": error,
            "relative_error": made.fidelity.relative_error,
            "expected_drop": made.fidelity.expected_drop,
            "rounding": made.rounding,
            "size": made.bytes / exported.bytes,
        }
    return found


def line(name: str, found: dict[str, Any]) -> str:
    """One row of the table."""
    cells = [name, f"{found['fp32']:.1f}"]
    for label in WAYS:
        each = found[label]
        lost = f"{each['points']:+.1f} ± {each['error']:.1f}"
        cells.append(f"{lost} ({100 * each['relative_error']:.1f} %)")
    cells += [f"{found[label]['size']:.2f}×" for label in ("fp16", "int8", "int4")]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table row by row, and write all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of trained networks")
    parser.add_argument("--networks", nargs="+", required=True)
    parser.add_argument("--count", type=int, default=256, help="images that ranges are read off")
    parser.add_argument("--out", type=Path, default=Path("weights.json"))
    options = parser.parse_args()
    sys.path.insert(0, str(options.models))
    zoo, metrics = importlib.import_module("zoo"), importlib.import_module("metrics")
    sizes = ("size fp16", "size int8", "size int4")
    columns = ("network", "fp32", *(f"{label}, points" for label in WAYS), *sizes)
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    results: dict[str, Any] = {}
    for name in options.networks:
        source, scored = zoo_networks.load(zoo, name), accuracy.Scored(zoo, metrics, name)
        with tempfile.TemporaryDirectory() as folder:
            results[name] = measured(source, scored, options.count, Path(folder))
        print(line(name, results[name]), flush=True)
        options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
