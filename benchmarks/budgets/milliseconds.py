"""Whether a latency that is asked for is met, beside the same share of multiply-accumulates.

    python benchmarks/budgets/milliseconds.py --models FOLDER --networks resnet20 resnet56

FOLDER holds ``zoo.py`` with ``load`` and ``TABLE``. For each network and share two plans are made,
one for ``--latency`` and one for ``--macs``, without recovery, which changes no width. Both are
exported and measured against the original, one after the other, in ONNX Runtime on one thread.
Efficiency is latency ratio / MACs ratio: 1 where milliseconds follow multiply-accumulates.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import edgeprune as ep
from edgeprune.errors import BudgetUnreachable

sys.path[:0] = [str(Path(__file__).parents[1])]
zoo_networks = importlib.import_module("zoo_networks")

Figures = dict[str, Any]

HEADER = ("network", "asked", "predicted", "reached", "MACs", "efficiency",
          "same share of MACs: latency", "efficiency")  # fmt: skip


def measured(source: Any, share: float, seconds: float, **budget: float) -> Figures | None:
    """What a budget came to; None where no widths reach it."""
    try:
        found = ep.compress(
            source,
            **budget,
            recover="none",
            alternatives=False,
            bench=ep.BenchSettings(seconds=seconds),
        ).document
    except BudgetUnreachable:
        return None
    latency, macs = found.ratio.latency, found.ratio.macs
    return {
        "asked": share,
        "predicted": found.budget.predicted,
        "latency": [latency.value, latency.low, latency.high],
        "macs": macs,
        "efficiency": latency.value / macs,
    }


def row(
    name: str, asked: dict[str, Any] | None, counted: dict[str, Any] | None, share: float
) -> str:
    """A line of the table."""
    cells = [name, f"{share:.0%}"]
    if asked is None:
        cells += ["–", "out of reach", "–", "–"]
    else:
        value, low, high = asked["latency"]
        cells += [f"{asked['predicted']:.0%}", f"{value:.1%} ({low:.1%}–{high:.1%})"]
        cells += [f"{asked['macs']:.0%}", f"{asked['efficiency']:.2f}"]
    if counted is None:
        cells += ["out of reach", "–"]
    else:
        cells += [f"{counted['latency'][0]:.1%}", f"{counted['efficiency']:.2f}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table row by row, and write all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of trained networks")
    parser.add_argument("--networks", nargs="+", required=True)
    parser.add_argument("--shares", nargs="+", type=float, default=(0.7, 0.5))
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--out", type=Path, default=Path("milliseconds.json"))
    options = parser.parse_args()
    sys.path.insert(0, str(options.models))
    zoo = importlib.import_module("zoo")
    print(f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}", flush=True)
    results: dict[str, Any] = {}
    for name in options.networks:
        for share in options.shares:
            source = zoo_networks.load(zoo, name)
            asked, counted = (
                measured(source, share, options.seconds, **{kind: share})
                for kind in ("latency", "macs")
            )
            print(row(name, asked, counted, share), flush=True)
            results[f"{name} {share:g}"] = {"latency": asked, "macs": counted}
            options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
