"""All stages on many networks: budget reached, surgery and export verified, latency measured.

    python benchmarks/whole_line.py                          torchvision's networks
    python benchmarks/whole_line.py --models FOLDER          and trained ones, with their metric
    python benchmarks/whole_line.py --only resnet18 vgg16_bn

torchvision's networks have random weights, because none are downloaded; their BatchNorm statistics
are calibrated on noise, so that activations live and a comparison means something. FOLDER holds
``zoo.py`` (``TABLE``, ``load``, ``predictor``) and ``metrics.py`` (``evaluate``). Networks are
compressed with the defaults: half of the multiply-accumulates.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

import edgeprune as ep
from edgeprune.errors import EdgepruneError

TORCHVISION = {
    "resnet18": 224,
    "resnet50": 224,
    "mobilenet_v2": 224,
    "mobilenet_v3_small": 224,
    "densenet121": 224,
    "efficientnet_b0": 224,
    "googlenet": 224,
    "regnet_y_400mf": 224,
    "squeezenet1_1": 224,
    "vgg16_bn": 224,
    "resnext50_32x4d": 224,
    "mnasnet1_0": 224,
    "convnext_tiny": 224,
    "inception_v3": 299,
}
TRAINED = ("resnet20", "resnet56", "mobilenet_v1_025", "ds_cnn", "fastestdet")
OPTIONS = {name: {"init_weights": True} for name in ("googlenet", "inception_v3")}
HEADER = ("network", "MACs", "surgery", "parity", "argmax", "latency ratio", "metric", "s")

Metric = Callable[[nn.Module], float]


def networks(folder: Path | None, only: list[str]) -> Iterator[tuple[str, nn.Module, Any, Any]]:
    """Name, network, input shape and metric (or None) of each network to compress."""
    if folder is not None:
        sys.path.insert(0, str(folder))
        zoo, metrics = importlib.import_module("zoo"), importlib.import_module("metrics")
        for name in only or TRAINED:
            if name in zoo.TABLE:
                shape = (1, *zoo.TABLE[name].input_shape)
                yield name, zoo.load(name), shape, scorer(zoo, metrics, name)
    for name in only or TORCHVISION:
        if name in TORCHVISION:
            shape = (1, 3, TORCHVISION[name], TORCHVISION[name])
            torch.manual_seed(0)
            network = torchvision.models.get_model(name, weights=None, **OPTIONS.get(name, {}))
            yield name, calibrated(network, shape), shape, None


def scorer(zoo: Any, metrics: Any, name: str) -> Metric:
    """The network's own metric, in percent."""
    return lambda module: metrics.evaluate(zoo.predictor(module), name)


@torch.no_grad()
def calibrated(network: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """Set BatchNorm's running statistics to those of eight noise images."""
    network.eval()
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    network(torch.randn(8, *shape[1:]))
    return network.eval()


def row(
    name: str, network: nn.Module, shape: Any, metric: Metric | None, config: ep.CompressConfig
) -> dict:
    """Compress one network and keep the figures of the table."""
    start = time.perf_counter()
    try:
        report = ep.compress(network, shape, config)
    except EdgepruneError as error:
        return {"network": name, "error": f"{type(error).__name__}: {error}"}
    found = report.document
    latency = found.ratio.latency
    result = {
        "network": name,
        "macs": found.budget.reached,
        "surgery": found.surgery.max_rel_diff,
        "parity": found.parity.max_rel_diff,
        "argmax_agreement": found.parity.argmax_agreement,
        "latency": [latency.value, latency.low, latency.high],
        "recovery": [step.detail for step in found.recovery],
        "seconds": time.perf_counter() - start,
        "stages": {stage.name: stage.seconds for stage in found.stages},
        "notes": list(found.notes),
    }
    if metric is not None:
        result["metric"] = [metric(network), metric(report.compressed.module)]
    return result


def as_line(result: dict) -> str:
    """One row of the table, in Markdown."""
    if "error" in result:
        return f"| {result['network']} | {result['error']} |"
    value, low, high = result["latency"]
    metric = " → ".join(f"{number:.1f}" for number in result.get("metric", ()))
    cells = (
        result["network"], f"{result['macs']:.1%}", f"{result['surgery']:.0e}",
        f"{result['parity']:.0e}", f"{result['argmax_agreement']:.0%}",
        f"{value:.2f} ({low:.2f}–{high:.2f})", metric, f"{result['seconds']:.0f}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table row by row and write all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, help="folder of trained networks")
    parser.add_argument("--only", nargs="*", default=[], help="names of networks")
    parser.add_argument("--seconds", type=float, default=10.0, help="to measure each network")
    parser.add_argument("--budget-time", type=float, help="seconds for recovery; default: no limit")
    parser.add_argument("--out", type=Path, default=Path("whole_line.json"))
    options = parser.parse_args()
    settings = ep.BenchSettings(seconds=options.seconds)
    config = ep.CompressConfig(bench=settings, budget_time=options.budget_time)
    print(f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}", flush=True)
    results = []
    for network in networks(options.models, options.only):
        results.append(row(*network, config))
        print(as_line(results[-1]), flush=True)
        options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
