"""What int8 costs in accuracy: without data, with unlabelled images, by ONNX Runtime's own tools.

    python benchmarks/quantize/accuracy.py --models FOLDER --networks resnet20 ds_cnn --seeds 5

FOLDER holds ``zoo.py`` (``TABLE``, ``load``) and ``metrics.py`` (``samples``, ``top1``, ``map50``).
Every row is scored on all samples. Rows that see images see half of the samples, without labels,
and are scored on the other half, and the other way round: no image is seen and scored. Nothing is
chosen by a score.

fp32        the exported float file
data-free   ranges from procedural images through the twin; the mean over the seeds
image-free  ranges from BatchNorm statistics alone
images      ranges from up to 256 unlabelled images
static      onnxruntime.quantization.quantize_static on the same images: outputs quantized too
dynamic     onnxruntime.quantization.quantize_dynamic
nncf        nncf.quantize on 256 procedural images, as it comes; "–" where it is not installed

Each difference from fp32 has the standard error that the choice of samples gives it: the jackknife
over groups of samples of the difference, both files on the same ones. The data-free row also has
that over the draws of procedural images.
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
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime import quantization

from edgeprune.artifacts import ImageKind
from edgeprune.export import OnnxTarget, Quantize
from edgeprune.images.given import Given
from edgeprune.images.procedural import DeadLeaves

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

try:
    import nncf
except ImportError:
    nncf = None

sys.path.insert(0, str(Path(__file__).parents[1]))
zoo_networks = importlib.import_module("zoo_networks")

ROWS = ("fp32", "data-free", "image-free", "images", "static", "dynamic", "nncf")
IMAGES = 320
"""Unlabelled images: 256 to read ranges off, 64 to be judged on."""
GROUPS = 20
"""Groups of samples that the jackknife leaves out in turn."""


class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Hands images one by one to ONNX Runtime's calibrator."""

    def __init__(self, images: torch.Tensor) -> None:
        self._left = iter(images.numpy())

    def get_next(self) -> dict[str, Any] | None:
        image = next(self._left, None)
        return None if image is None else {"input": image[None]}


class Scored:
    """The samples of a network, and the metric of any file's outputs on them."""

    def __init__(self, zoo: Any, metrics: Any, name: str) -> None:
        self.inputs, self._truth = metrics.samples(name)
        kinds = {"top-1": "top1", "mAP50": "map50"}
        self._metric = getattr(metrics, kinds[zoo.TABLE[name].metric])

    def outputs(self, path: Path, chosen: Sequence[int] | None = None) -> list[list[Any]]:
        """What a file makes of the samples, or of some: an array (1, …) for each output."""
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        places = range(len(self.inputs)) if chosen is None else chosen
        return [session.run(None, {"input": self.inputs[n : n + 1]}) for n in places]

    def score(self, outputs: list[list[Any]], chosen: Sequence[int]) -> float:
        """The metric on the chosen samples."""
        columns = tuple(map(np.concatenate, zip(*(outputs[n] for n in chosen), strict=True)))
        truth = [self._truth[n] for n in chosen]
        return float(self._metric(columns[0] if len(columns) == 1 else columns, truth))

    def difference(
        self, draws: list[list[list[Any]]], before: list[list[Any]]
    ) -> tuple[float, float]:
        """The mean difference of some files' scores from the float file's, and its error."""

        def on(chosen: Sequence[int]) -> float:
            scores = [self.score(outputs, chosen) for outputs in draws]
            return statistics.mean(scores) - self.score(before, chosen)

        count = len(before)
        groups = min(GROUPS, count)
        left = [on([n for n in range(count) if n % groups != g]) for g in range(groups)]
        mean = statistics.mean(left)
        error = ((groups - 1) / groups * sum((each - mean) ** 2 for each in left)) ** 0.5
        return on(range(count)), error


def measured(source: Any, scored: Scored, seeds: int, folder: Path) -> dict[str, Any]:
    """Every row of one network."""
    target = OnnxTarget()
    exported = target(source.module, source.input, folder / "fp32.onnx", {})
    before, count = scored.outputs(exported.path), len(scored.inputs)

    def row(*draws: list[list[Any]]) -> dict[str, Any]:
        points, error = scored.difference(list(draws), before)
        return {"points": points, "error": error}

    def file(path: Path) -> dict[str, Any]:
        return row(scored.outputs(path)) | {"size": path.stat().st_size / exported.bytes}

    def quantized(quantize: Quantize, label: str, seed: int = 0) -> Any:
        return quantize(source, exported, target, folder / f"{label}{seed}.onnx", seed=seed)

    def crossed(make: Callable[[Any], Path]) -> dict[str, Any]:
        halves = [list(range(count // 2)), list(range(count // 2, count))]
        seen = [torch.from_numpy(scored.inputs[half][:IMAGES]) for half in halves]
        parts = zip(seen[::-1], halves, strict=True)
        return row([each for images, half in parts for each in scored.outputs(make(images), half)])

    def with_images(images: Any) -> Path:
        given = Given((images,), "unlabelled", ImageKind.REAL)
        return quantized(Quantize(images=given, count=256), "images").path

    made = [quantized(Quantize(), "data-free", seed) for seed in range(seeds)]
    return {
        "fp32": {"score": scored.score(before, range(count)), "n": count, "bytes": exported.bytes},
        "data-free": drawn(scored, row, made, before) | told(made[0], exported),
        "image-free": file(quantized(Quantize(image_free=True), "image-free").path),
        "images": crossed(with_images),
        "static": crossed(lambda images: static(exported.path, images, folder / "static.onnx")),
        "dynamic": file(dynamic(exported.path, folder / "dynamic.onnx")),
        "nncf": file(by_nncf(source, exported.path, folder / "nncf.onnx")) if nncf else None,
    }


def drawn(
    scored: Scored, row: Callable[..., dict[str, Any]], made: list[Any], before: list[list[Any]]
) -> dict[str, Any]:
    """The row of files whose ranges are of different draws, and the error of their mean."""
    outputs = [scored.outputs(each.path) for each in made]
    every = range(len(before))
    scores = [scored.score(each, every) - scored.score(before, every) for each in outputs]
    error = statistics.stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else None
    return row(*outputs) | {"draws": scores, "error of draws": error}


def told(made: Any, exported: Any) -> dict[str, Any]:
    """What the product says of its file."""
    fidelity = dataclasses.asdict(made.fidelity) | {"clipped": made.fidelity.most_clipped}
    size = made.bytes / exported.bytes
    return {"fidelity": fidelity, "float": len(made.kept_float), "size": size}


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
    cells = [name, f"{found['fp32']['score']:.1f}"]
    for label in ROWS[1:]:
        each = found[label]
        cells.append(f"{each['points']:+.1f} ± {each['error']:.1f}" if each else "–")
        if each and each.get("error of draws") is not None:
            cells[-1] += f" (draws ± {each['error of draws']:.1f})"
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
            scored = Scored(zoo, metrics, name)
            found = measured(source, scored, options.seeds, Path(folder))
        results[name] = found
        print(line(name, found), flush=True)
        options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
