"""What each rung of the recovery ladder gives on the same pruned network, and what it costs.

    python benchmarks/recovery/ladder.py --models FOLDER --cells resnet8:50 ds_cnn:50

A cell is a network of ``zoo.py`` and the share of its multiply-accumulates that is left, in per
cent, after the product's own choice. Scores are on all samples, in per cent. The error is that on
held-out procedural images to which no rung was fitted; it is what ``auto`` chooses by. CPU seconds
are those of all threads: on a busy machine they say more than the clock. Each row is printed as it
is measured, as a row of a Markdown table.
"""

from __future__ import annotations

import argparse
import importlib
import resource
import sys
from pathlib import Path

import torch
from subjects import zoo_networks

import edgeprune as ep
from edgeprune import costs
from edgeprune.images.procedural import DeadLeaves
from edgeprune.pruning import prune_to_budget
from edgeprune.recovery import METHODS, RecoveryContext, recover
from edgeprune.recovery.held_out import held_out_error

COLUMNS = ("network", "MACs left", "method", "score", "held-out error", "CPU seconds")
SEED = 99  # of the held-out images; methods take their own
IMAGES = 16


def cpu_seconds() -> float:
    """CPU time of this process so far, threads included."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(cell: str, methods: list[str], models: Path) -> None:
    """Print a row for each method on one pruned network."""
    zoo, metrics = (importlib.import_module(name) for name in ("zoo", "metrics"))
    name, _, percent = cell.partition(":")
    source = zoo_networks.load(zoo, name)
    traced, before = ep.survey(source)
    traced, pruned = prune_to_budget(traced, before, ep.Macs(int(percent) / 100))[:2]
    left = costs.count(pruned.module, pruned.input).macs / before.macs
    images = DeadLeaves()(source, IMAGES, SEED)

    for method in methods:
        start = cpu_seconds()
        made = recover(traced, pruned, [METHODS[method]()], RecoveryContext(score_images=False))
        seconds = cpu_seconds() - start
        score = metrics.evaluate(zoo.predictor(made.module), name)
        error = held_out_error(traced, made, images, synthetic=True)
        cells = (name, f"{left:.0%}", method, f"{score:.1f}", f"{error:.3f}", f"{seconds:.0f}")
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of trained networks")
    parser.add_argument("--cells", nargs="+", default=["resnet8:50"], metavar="NETWORK:PERCENT")
    parser.add_argument(
        "--methods", nargs="+", default=["reconstruct", "blockwise", "auto"], choices=list(METHODS)
    )
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sys.path.insert(0, str(options.models))
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for cell in options.cells:
        measure(cell, options.methods, options.models)


if __name__ == "__main__":
    main()
