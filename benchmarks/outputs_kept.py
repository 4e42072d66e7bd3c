"""What networks keep of their outputs when they are pruned, beside what they lose of accuracy.

    python benchmarks/outputs_kept.py --models ZOO --networks resnet20 mobilenet_v1_025

ZOO is a folder with ``zoo.py`` and ``metrics.py`` (see ``zoo_networks.py``). Each network is pruned
to a share of its MACs and repaired in closed form.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import zoo_networks

from edgeprune import costs
from edgeprune.calibration.outputs_kept import outputs_kept
from edgeprune.images.procedural import DeadLeaves
from edgeprune.pruning import Macs, lock_failing, plan, prune
from edgeprune.recovery import recover
from edgeprune.recovery.closed_form.analytic import Analytic
from edgeprune.tracing import trace

SEED, COUNT = 5, 128


def main() -> None:
    """Print a row for each network and budget."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", type=Path, required=True, help="folder with zoo.py")
    parser.add_argument("--networks", nargs="+", required=True)
    parser.add_argument("--macs", nargs="+", type=float, default=[0.9, 0.8, 0.7, 0.5])
    chosen = parser.parse_args()
    sys.path.insert(0, str(chosen.models.resolve()))
    import metrics
    import zoo

    print("| network | MACs left | outputs kept | points of the metric lost |\n|---|---|---|---|")
    for name in chosen.networks:
        for row in _rows(zoo, metrics, name, chosen.macs):
            print(row, flush=True)


def _rows(zoo: Any, metrics: Any, name: str, budgets: list[float]) -> Any:
    source = zoo_networks.load(zoo, name)
    traced = lock_failing(trace(source))
    counted = costs.count(source.module, source.input, traced.record)
    images = DeadLeaves()(source, COUNT, SEED)
    before = metrics.evaluate(zoo.predictor(source.module), name)
    for budget in budgets:
        pruned = prune(traced, plan(traced, counted, Macs(budget)).plan)
        module = recover(traced, pruned, [Analytic()]).module
        found = outputs_kept(source.module, module, images)
        kept = f"{found.share:.0%}" if found else "unknown"
        lost = before - metrics.evaluate(zoo.predictor(module), name)
        yield f"| {name} | {budget:.0%} | {kept} | {lost:.1f} |"


if __name__ == "__main__":
    main()
