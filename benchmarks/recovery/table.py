"""What recovery is worth: many networks, three ways to prune, every method, one table a network.

    python benchmarks/recovery/table.py --models FOLDER --data FOLDER
    python benchmarks/recovery/table.py --models FOLDER --data FOLDER \\
        --networks resnet20 --budgets line-50 --methods reconstruct supervise finetune --seeds 1

Networks and images are those of ``subjects.py``, methods the rows of ``rows.py``. ``inner-50``
removes half of the channels inside residual blocks, the same share of each group, as the papers
do; ``macs-50`` half of all multiply-accumulates, the same share of all groups by L2 norm;
``line-50`` as much, by the product's own criterion and scope. All rows of a column recover the same
pruned network. Rows that train take minutes each and are only run by name; they start from what
``reconstruct`` leaves. Each run is written to the JSON file as it ends, and is not done again;
after a change of the code delete the file, and the workspace. No setting of any method is chosen on
these images.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from rendering import Record, tables
from rows import ROWS, Limits
from subjects import (
    EXAMPLE,
    KEYPOINTS,
    Folders,
    Subject,
    cut_by_default,
    cut_inner,
    cut_macs,
    evaluate,
    load,
)

import edgeprune as ep
from edgeprune import costs
from edgeprune.artifacts.findings import as_text
from edgeprune.errors import EdgepruneError
from edgeprune.recovery import METHODS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeprune.artifacts import PrunedModel, TracedModel

NETWORKS = (
    "resnet20", "resnet56", EXAMPLE, "resnet8", "mobilenet_v1_025", "ds_cnn", "vww_mobilenet",
    "fastestdet", "lenet5",
)  # fmt: skip
COLUMNS = ("inner-30", "inner-50", "inner-70", "macs-30", "macs-50", "macs-70", "line-50")


class Job(NamedTuple):
    """One run; the network before pruning is a column and a row of its own."""

    network: str
    column: str
    row: str
    seed: int


def jobs(options: argparse.Namespace) -> list[Job]:
    """Every run that is asked for, in order."""
    return [
        job
        for name in options.networks
        for job in (
            Job(name, "dense", "dense", 0),
            *(
                Job(name, column, row, seed)
                for column in options.budgets
                for row in options.methods
                for seed in range(options.seeds if ROWS[row].random else 1)
            ),
        )
    ]


class Bench:
    """One network, surveyed once; each column is cut once, when its first run comes."""

    def __init__(self, name: str, folders: Folders, limits: Limits) -> None:
        self.folders, self.limits = folders, limits
        self.subject: Subject = load(name, folders)
        self.traced, self.costs = ep.survey(self.subject.source)

    def cut(self, column: str) -> tuple[TracedModel, PrunedModel]:
        """Prune as the column says."""
        kind, _, percent = column.partition("-")
        if kind == "inner":
            return self.traced, cut_inner(self.traced, int(percent) / 100)
        cut = {"macs": cut_macs, "line": cut_by_default}[kind]
        return cut(self.traced, self.costs, int(percent) / 100)

    def dense(self) -> Record:
        """Score the network as it came."""
        facts = {"split": self.subject.split, "macs": 1.0, "params": 1.0, "seconds": 0.0}
        return self._scored(self.subject.source.module) | facts

    def run(self, traced: TracedModel, pruned: PrunedModel, job: Job) -> Record:
        """Recover and score."""
        row = ROWS[job.row]
        method = row.method(self.subject, self.limits)
        start = time.perf_counter()
        recovered = method(traced, pruned, row.context(job.seed, self.limits))
        seconds = time.perf_counter() - start
        left = costs.count(pruned.module, pruned.input)
        return self._scored(recovered.module) | {
            "seconds": seconds,
            "macs": left.macs / self.costs.macs,
            "params": left.params / self.costs.params,
            "detail": [as_text(step.notes) for step in recovered.recovered_by],
            "limits": self.limits.as_texts() if row.trains else None,
        }

    def _scored(self, network: torch.nn.Module) -> Record:
        outcome = evaluate(self.subject, network, self.folders)
        return {
            "metric": self.subject.metric,
            "images": len(self.subject.inputs),
            "score": outcome.score,
            "correct": outcome.correct,
        }


def results(bench: Bench, todo: list[Job]) -> Iterator[tuple[Job, Record]]:
    """Do the runs of one network; what a method refuses becomes a record that says why."""
    for column, its in groupby(todo, key=lambda job: job.column):
        if column == "dense":
            yield from ((job, bench.dense()) for job in its)
            continue
        try:
            traced, pruned = bench.cut(column)
        except EdgepruneError as error:
            yield from ((job, {"error": str(error)}) for job in its)
            continue
        yield from ((job, attempted(bench, traced, pruned, job)) for job in its)


def attempted(bench: Bench, traced: TracedModel, pruned: PrunedModel, job: Job) -> Record:
    """The run, or why the method does not take the network."""
    try:
        return bench.run(traced, pruned, job)
    except EdgepruneError as error:
        return {"error": str(error)}


def known(file: Path, limits: Limits) -> list[Record]:
    """The runs that a file holds, if it may be added to."""
    if not file.exists():
        return []
    records = [r for r in json.loads(file.read_text(encoding="utf-8")) if "score" in r]
    if any(record.get("limits") not in (None, limits.as_texts()) for record in records):
        sys.exit(
            f"{file} holds runs with other --steps, --seconds or --images; choose another --out"
        )
    return records


def measure(options: argparse.Namespace) -> list[Record]:
    """Do what the file does not hold yet; write it after every run."""
    limits = Limits(options.steps, options.seconds, options.images, options.workspace)
    folders = Folders(options.models, options.data, options.keypoints)
    records = known(options.out, limits)
    done = {Job(*(record[field] for field in Job._fields)) for record in records}
    todo = [job for job in jobs(options) if job not in done]
    start, count = time.perf_counter(), 0
    for name, its in groupby(todo, key=lambda job: job.network):
        for job, result in results(Bench(name, folders, limits), list(its)):
            records.append(job._asdict() | result)
            options.out.write_text(json.dumps(records, indent=1), encoding="utf-8")
            count += 1
            rest = (time.perf_counter() - start) / count * (len(todo) - count)
            shown = f"{result['score']:.1f}" if "score" in result else result["error"]
            print(f"[{count}/{len(todo)}] {' '.join(map(str, job))}: {shown}; "
                  f"{rest / 60:.0f} min to go", file=sys.stderr, flush=True)  # fmt: skip
    return records


def main() -> None:
    """Measure and print."""
    there = {name: row for name, row in ROWS.items() if row.needs in METHODS}
    quick = [name for name, row in there.items() if not row.trains]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of trained networks")
    parser.add_argument("--data", type=Path, required=True, help="folder of their images")
    parser.add_argument("--keypoints", type=Path, help="what keypoints.py has trained")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, choices=[*NETWORKS, KEYPOINTS])
    parser.add_argument("--budgets", nargs="+", default=COLUMNS, choices=COLUMNS)
    parser.add_argument("--methods", nargs="+", default=quick, choices=there)
    parser.add_argument("--seeds", type=int, default=3, help="runs of each method that draws")
    parser.add_argument("--steps", type=int, default=0, help="of rows that train; 0: theirs")
    parser.add_argument("--seconds", type=float, default=math.inf, help="of rows that train")
    parser.add_argument(
        "--images", type=int, default=0, help="procedural or synthesized, to train on"
    )
    parser.add_argument("--workspace", type=Path, help="keeps images and training, to go on")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--out", type=Path, default=Path("recovery.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    records = measure(options)
    wanted = [record for record in records if record["network"] in options.networks]
    print(tables(wanted, list(options.methods), list(options.budgets)))


if __name__ == "__main__":
    main()
