"""LBYL and neuron merging in the papers' own setting, as derived and as released.

    python benchmarks/recovery/papers.py --models FOLDER --data FOLDER
    python benchmarks/recovery/papers.py --models FOLDER --data FOLDER --networks resnet56 \\
        --criteria l2 --ratios 30 50

The same share of every group of channels inside residual blocks goes, chosen by L2 norm, L1 norm
or distance to the geometric median; nothing is trained afterwards. λ are the papers' own: LBYL
1e-5 and 1e-3 (ResNet-50 on CIFAR-100; LBYL publishes no ResNet-56), merging t = 0.1 and λ = 0.85
(ResNet-56 on CIFAR-10). "Released" is what the authors' codes compute, which differs from what the
papers derive; see ``edgeprune/recovery/closed_form/released_code.py``. All methods of a line
recover the same pruned network and are scored on the same images.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rendering import Record, line, score_cell
from subjects import Folders, cut_inner, evaluate, load

from edgeprune.pruning import CRITERIA
from edgeprune.recovery import NoRecovery, RecoveryContext
from edgeprune.recovery.closed_form.lbyl import Lbyl
from edgeprune.recovery.closed_form.neuron_merging import NeuronMerging
from edgeprune.tracing import trace

if TYPE_CHECKING:
    from subjects import Subject

    from edgeprune.artifacts import TracedModel
    from edgeprune.recovery.method import RecoveryMethod

METHODS: dict[str, RecoveryMethod] = {
    "prune only": NoRecovery(),
    "NM released": NeuronMerging(0.1, 0.85, released=True),
    "NM derived": NeuronMerging(0.1, 0.85),
    "LBYL released": Lbyl(1e-5, 1e-3, released=True),
    "LBYL derived": Lbyl(1e-5, 1e-3),
}
HEADER = ["network", "criterion", "removed", *METHODS]


def scores(
    subject: Subject, traced: TracedModel, criterion: str, percent: int, folders: Folders
) -> dict[str, Record]:
    """Every method on one pruned network."""
    pruned = cut_inner(traced, percent / 100, CRITERIA[criterion]())
    found = {}
    for name, method in METHODS.items():
        outcome = evaluate(subject, method(traced, pruned, RecoveryContext()).module, folders)
        found[name] = {
            "score": outcome.score, "correct": outcome.correct, "images": len(subject.inputs),
        }  # fmt: skip
    return found


def main() -> None:
    """Print the table row by row and write all outcomes as JSON; what it holds is not redone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of trained networks")
    parser.add_argument("--data", type=Path, required=True, help="folder of their images")
    parser.add_argument("--networks", nargs="+", default=["resnet20", "resnet56"])
    parser.add_argument("--criteria", nargs="+", default=["l2", "l1", "geometric-median"])
    parser.add_argument("--ratios", type=int, nargs="+", default=[10, 20, 30, 40, 50])
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--out", type=Path, default=Path("papers.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folders = Folders(options.models, options.data)
    known = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    print(line(HEADER) + "\n|" + "---|" * len(HEADER), flush=True)
    cases = [(c, percent) for c in options.criteria for percent in options.ratios]
    for place, network in enumerate(options.networks):
        subject = load(network, folders)
        traced = trace(subject.source)
        for criterion, percent in cases:
            key = f"{network} {criterion} {percent}"
            if key not in known:
                known[key] = scores(subject, traced, criterion, percent, folders)
                options.out.write_text(json.dumps(known, indent=1), encoding="utf-8")
            cells = [score_cell([known[key][method]]) for method in METHODS]
            print(line([network, criterion, f"{percent} %", *cells]), flush=True)
        print(f"{place + 1} of {len(options.networks)} networks done", file=sys.stderr)


if __name__ == "__main__":
    main()
