"""Which channels to remove: importance criteria, scopes and recoveries at the same budget.

    python benchmarks/selection.py --models FOLDER --networks resnet20 resnet56 --images DIR

FOLDER holds ``zoo.py`` as for whole_line.py; DIR holds labelled images, one sub-folder a class,
that fit the networks named. Networks are pruned to each share of their multiply-accumulates and
recovered with each method; the table shows top-1 accuracy, and in brackets the held-out error on
procedural images, which needs no label: does it know the winner? Choose on images that no published
figure is scored on.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
from pathlib import Path

import zoo_networks

import edgeprune as ep
from edgeprune import evaluation
from edgeprune.images.procedural import DeadLeaves
from edgeprune.images.reading import labelled
from edgeprune.pruning import CRITERIA, SCOPES, Allocation, prune_to_budget
from edgeprune.recovery import METHODS
from edgeprune.recovery.held_out import held_out_error

SEEDS = (0, 1, 2)
VALIDATION_IMAGES, VALIDATION_SEED = 64, 7


def compared(
    surveyed: tuple[object, object],
    images: object,
    budget: float,
    choice: tuple[str, str],
    recoveries: list[str],
) -> dict[str, tuple[float, float]]:
    """Accuracy and held-out error after each recovery; means over seeds if the criterion draws."""
    traced, costs = surveyed
    criterion, scope = choice
    leaves = DeadLeaves()(traced.source, VALIDATION_IMAGES, VALIDATION_SEED)
    found = {name: [] for name in recoveries}
    for seed in SEEDS if criterion == "random" else SEEDS[:1]:
        locked, pruned, _ = prune_to_budget(
            traced,
            costs,
            ep.Macs(budget),
            criterion=CRITERIA[criterion](),
            allocation=Allocation(scope=scope),
            seed=seed,
        )
        for name in recoveries:
            recovered = ep.recover(locked, pruned, [METHODS[name]()])
            (share,) = evaluation.accuracies(evaluation.right_answers([recovered.module], images))
            error = held_out_error(locked, recovered, leaves, synthetic=True)
            found[name].append((share, error))
    return {
        name: tuple(statistics.mean(column) for column in zip(*rows, strict=True))
        for name, rows in found.items()
    }


def main() -> None:
    """Print the table row by row and write all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of trained networks")
    parser.add_argument("--networks", nargs="+", required=True)
    parser.add_argument("--images", type=Path, required=True, help="labelled images")
    parser.add_argument("--macs", type=float, nargs="+", default=[0.8, 0.6])
    parser.add_argument("--importance", nargs="+", choices=CRITERIA, default=list(CRITERIA))
    parser.add_argument("--scope", nargs="+", choices=SCOPES, default=list(SCOPES))
    recoveries = ["none", "analytic", "reconstruct"]
    parser.add_argument("--recover", nargs="+", choices=METHODS, default=recoveries)
    parser.add_argument("--out", type=Path, default=Path("selection.json"))
    options = parser.parse_args()
    sys.path.insert(0, str(options.models))
    zoo = importlib.import_module("zoo")

    columns = ("network", "MACs", "criterion", "scope", *options.recover)
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    results = []
    for name in options.networks:
        source = zoo_networks.load(zoo, name)
        images, surveyed = labelled(options.images, source.input), ep.survey(source)
        for budget in options.macs:
            for choice in ((c, s) for c in options.importance for s in options.scope):
                figures = compared(surveyed, images, budget, choice, options.recover)
                results.append([name, budget, *choice, figures])
                texts = [f"{share:.1%} ({error:.2f})" for share, error in figures.values()]
                print(f"| {' | '.join((name, f'{budget:.0%}', *choice, *texts))} |", flush=True)
                options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
