"""Which channels to remove: every importance criterion and scope at the same budget.

    python benchmarks/selection.py --models FOLDER --networks resnet20 resnet56 --images DIR

FOLDER holds ``zoo.py`` as for whole_line.py; DIR holds labelled images, one sub-folder a class,
that fit the networks named. Networks are pruned to each share of their multiply-accumulates and
recovered with the default; the table shows top-1 accuracy. Choose on images that no published
figure is scored on.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
from pathlib import Path

import edgeprune as ep
from edgeprune import evaluation
from edgeprune.images import labelled
from edgeprune.pruning import CRITERIA, Allocation, plan

SCOPES = ("local", "global")
SEEDS = (0, 1, 2)


def accuracy(
    traced: object, costs: object, images: object, budget: float, criterion: str, scope: str
) -> tuple[float, float]:
    """Accuracy after pruning and after recovery; the mean over seeds where the criterion draws."""
    found = []
    for seed in SEEDS if criterion == "random" else SEEDS[:1]:
        planned = plan(
            traced,
            costs,
            ep.Macs(budget),
            criterion=CRITERIA[criterion](),
            allocation=Allocation(scope=scope),
            seed=seed,
        )
        pruned = ep.prune(traced, planned.plan)
        recovered = ep.recover(traced, pruned, [ep.Auto()])
        found.append(evaluation.accuracies([pruned.module, recovered.module], images))
    return tuple(statistics.mean(column) for column in zip(*found, strict=True))


def main() -> None:
    """Print the table row by row and write all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of trained networks")
    parser.add_argument("--networks", nargs="+", required=True)
    parser.add_argument("--images", type=Path, required=True, help="labelled images")
    parser.add_argument("--macs", type=float, nargs="+", default=[0.8, 0.6])
    parser.add_argument("--out", type=Path, default=Path("selection.json"))
    options = parser.parse_args()
    sys.path.insert(0, str(options.models))
    zoo = importlib.import_module("zoo")

    print("| network | MACs | criterion | scope | pruned | recovered |\n|---|---|---|---|---|---|")
    results = []
    for name in options.networks:
        entry = zoo.TABLE[name]
        std = tuple(value / (255 * entry.scale) for value in entry.std)
        mean = tuple(value / (255 * entry.scale) for value in entry.mean)
        channels = entry.input_shape[0]
        source = ep.wrap(
            zoo.load(name),
            (1, *entry.input_shape),
            mean=(mean * channels)[:channels],
            std=(std * channels)[:channels],
        )
        images = labelled(options.images, source.input)
        traced, costs = ep.survey(source)
        for budget in options.macs:
            for criterion in CRITERIA:
                for scope in SCOPES:
                    shares = accuracy(traced, costs, images, budget, criterion, scope)
                    results.append([name, budget, criterion, scope, *shares])
                    cells = (name, f"{budget:.0%}", criterion, scope, *map("{:.1%}".format, shares))
                    print(f"| {' | '.join(cells)} |", flush=True)
                    options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
