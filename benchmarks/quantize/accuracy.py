"""What int8 costs in accuracy: without data, with unlabelled images, by ONNX Runtime's own tools.

    python benchmarks/quantize/accuracy.py --models FOLDER --networks resnet20 ds_cnn --seeds 5

FOLDER holds ``zoo.py`` (``TABLE``, ``load``) and ``metrics.py`` (``samples``, ``evaluate``). Rows
that see images see the second half of the samples, without labels, and are scored on the first,
beside the float file on the same; those without data are scored on all, and nothing is chosen by a
score.

fp32        the exported float file
data-free   ranges from procedural images through the twin; mean and standard error over the seeds
image-free  ranges from BatchNorm statistics alone
images      ranges from up to 256 unlabelled images
static      onnxruntime.quantization.quantize_static on the same images: outputs quantized too
dynamic     onnxruntime.quantization.quantize_dynamic
nncf        nncf.quantize on 256 procedural images, as it comes; "–" where it is not installed
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from onnxruntime import quantization

from edgeprune.artifacts import ImageKind
from edgeprune.export import OnnxTarget, Quantize
from edgeprune.images.given import Given
from edgeprune.images.procedural import DeadLeaves

try:
    import nncf
except ImportError:
    nncf = None

sys.path.insert(0, str(Path(__file__).parents[1]))
zoo_networks = importlib.import_module("zoo_networks")

ROWS = ("fp32", "data-free", "image-free", "images", "static", "dynamic", "nncf")
IMAGES = 320
"""Unlabelled images: 256 to read ranges off, 64 to be judged on."""


class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Hands images one by one to ONNX Runtime's calibrator."""

    def __init__(self, images: torch.Tensor) -> None:
        self._left = iter(images.numpy())

    def get_next(self) -> dict[str, Any] | None:
        image = next(self._left, None)
        return None if image is None else {"input": image[None]}


def score(metrics: Any, path: Path, name: str, limit: int | None = None) -> float:
    """The metric of a file, on all samples or the first."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def predict(inputs: Any) -> Any:
        outputs = session.run(None, {"input": inputs})
        return outputs[0] if len(outputs) == 1 else outputs

    return float(metrics.evaluate(predict, name, limit=limit, batch_size=1))


def measured(source: Any, metrics: Any, name: str, seeds: int, folder: Path) -> dict[str, Any]:
    """Every row of one network."""
    target = OnnxTarget()
    exported = target(source.module, source.input, folder / "fp32.onnx", {})
    inputs = torch.from_numpy(metrics.samples(name)[0])
    half = len(inputs) // 2
    images = inputs[half : half + IMAGES]

    def row(path: Path, *, unseen_only: bool = False) -> dict[str, float | None]:
        whole = None if unseen_only else score(metrics, path, name)
        size = path.stat().st_size / exported.bytes
        return {"all": whole, "unseen": score(metrics, path, name, half), "size": size}

    def quantized(label: str, quantize: Quantize, seed: int = 0) -> dict[str, Any]:
        path = folder / f"{label}{seed}.onnx"
        made = quantize(source, exported, target, path, seed=seed)
        fidelity = dataclasses.asdict(made.fidelity) | {"clipped": made.fidelity.most_clipped}
        kept = len(made.kept_float)
        return row(path, unseen_only=label == "images") | {"fidelity": fidelity, "float": kept}

    given = Given((images,), "unlabelled", ImageKind.REAL)
    draws = [quantized("data-free", Quantize(), seed) for seed in range(seeds)]
    return {
        "fp32": row(exported.path),
        "data-free": mean_of(draws) | {"draws": draws},
        "image-free": quantized("image-free", Quantize(image_free=True)),
        "images": quantized("images", Quantize(images=given, count=256)),
        "static": row(static(exported.path, images, folder / "static.onnx"), unseen_only=True),
        "dynamic": row(dynamic(exported.path, folder / "dynamic.onnx")),
        "nncf": row(by_nncf(source, exported.path, folder / "nncf.onnx")) if nncf else None,
    }


def mean_of(draws: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds, and the standard error of the score on all samples."""
    scores = [each["all"] for each in draws]
    error = statistics.stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else None
    means = {key: statistics.mean(d[key] for d in draws) for key in ("all", "unseen", "size")}
    return means | {"error": error}


def static(path: Path, images: torch.Tensor, made: Path) -> Path:
    """ONNX Runtime's static quantization, weights by channel, unsigned activations."""
    quantization.quantize_static(
        path,
        made,
        Reader(images),
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    return made


def dynamic(path: Path, made: Path) -> Path:
    """ONNX Runtime's dynamic quantization; its kernels take unsigned weights."""
    quantization.quantize_dynamic(path, made, weight_type=quantization.QuantType.QUInt8)
    return made


def by_nncf(source: Any, path: Path, made: Path) -> Path:
    """NNCF's post-training quantization, with procedural images in place of data."""
    images = DeadLeaves()(source, 256, 0)[0].numpy()
    dataset = nncf.Dataset(list(images), lambda image: {"input": image[None]})
    quantized = nncf.quantize(onnx.load(path), dataset, subset_size=len(images))
    onnx.save(quantized, made)
    return made


def line(name: str, found: dict[str, Any]) -> str:
    """One row of the table: the float score, and the points that each way loses."""
    before = found["fp32"]
    cells = [name, f"{before['all']:.1f}"]
    for label in ROWS[1:]:
        if found[label] is None:
            cells.append("–")
            continue
        on = "unseen" if found[label]["all"] is None else "all"
        error = found[label].get("error")
        spread = f" ± {error:.1f}" if error is not None else ""
        cells.append(f"{found[label][on] - before[on]:+.1f}{spread}")
    return f"| {' | '.join((*cells, format(found['data-free']['size'], '.2f')))} |"


def main() -> None:
    """Print the table row by row, and write all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of trained networks")
    parser.add_argument("--networks", nargs="+", required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("accuracy.json"))
    options = parser.parse_args()
    sys.path.insert(0, str(options.models))
    zoo, metrics = importlib.import_module("zoo"), importlib.import_module("metrics")
    columns = ("network", "fp32", *(f"{row}, points" for row in ROWS[1:]), "size")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    results: dict[str, Any] = {}
    for name in options.networks:
        with tempfile.TemporaryDirectory() as folder:
            source = zoo_networks.load(zoo, name)
            found = measured(source, metrics, name, options.seeds, Path(folder))
        results[name] = found
        print(line(name, found), flush=True)
        options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
