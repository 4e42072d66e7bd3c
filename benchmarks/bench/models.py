"""Makes the networks that runtimes and devices are compared on, in every format that there is.

    python benchmarks/bench/models.py --out FOLDER

torchvision's networks with the random weights and calibrated BatchNorms of ``whole_line.py``,
whole and compressed to half of their multiply-accumulates without recovery: NAME.onnx and
NAME_50.onnx, with .pte and .pt2 beside them, each proved to compute what the network does.

Prints a table; FOLDER/models.json has its figures. A repeated command makes what is missing.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from runtimes import MIB, SUFFIX, Row, earlier, matching, work

import edgeprune as ep
from edgeprune import bench, costs
from edgeprune.export import TARGETS
from edgeprune.recovery import NoRecovery

if TYPE_CHECKING:
    from runtimes import Job
    from torch import nn

    from edgeprune.artifacts import SourceModel

sys.path.insert(0, str(Path(__file__).parents[1]))
whole_line = importlib.import_module("whole_line")

NETWORKS = ("resnet18", "mobilenet_v2")
SUFFIXES = [TARGETS[target].suffix for target in TARGETS]
HALF = ep.CompressConfig(budget=ep.Macs(0.5), recover=(NoRecovery(),), target=None, bench=None)


def main() -> None:
    """Write what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "models.json"
    rows = [row for row in earlier(record) if (folder / row["file"]).is_file()]
    for name in NETWORKS:
        files = [stem + suffix for stem in (name, name + SUFFIX) for suffix in SUFFIXES]
        if not all(matching(rows, {"file": file}) for file in files):
            print(f"{name}: compressing to half", file=sys.stderr, flush=True)
            work(jobs_of(name, folder), record, rows)
    print(table(rows))


def jobs_of(name: str, folder: Path) -> list[Job]:
    """Writing a network, whole and compressed, for every target."""
    ((_, network, shape, _),) = whole_line.networks(None, [name])
    source = ep.wrap(network, shape)
    half = ep.compress(source, config=HALF).compressed.module
    jobs = []
    for stem, module in ((name, source.module), (name + SUFFIX, half)):
        for target in TARGETS:
            path = folder / (stem + TARGETS[target].suffix)
            jobs.append(({"file": path.name}, partial(exported, module, source, target, path)))
    return jobs


def exported(module: nn.Module, source: SourceModel, target: str, path: Path) -> Row:
    """Write one file; what it came to.

    Raises:
        EdgepruneError: When it cannot be written, or computes something else.
    """
    start = time.perf_counter()
    origin = {"source_name": source.name, "source_sha256": source.sha256}
    found = TARGETS[target]()(module, source.input, path, origin)
    return {
        "macs": costs.count(module, source.input).macs,
        "bytes": found.bytes,
        "max_rel_diff": found.parity.max_rel_diff,
        "seconds": time.perf_counter() - start,
    }


def table(rows: list[Row]) -> str:
    """Size of each file, and how far its outputs are from PyTorch's, in Markdown."""
    others = [runtime.takes for runtime in bench.RUNTIMES.values() if not runtime.target]
    header = ("network", "million MACs", *SUFFIXES, *others)
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    for stem in (name + suffix for name in NETWORKS for suffix in ("", SUFFIX)):
        found = [matching(rows, {"file": stem + suffix})[0] for suffix in SUFFIXES]
        macs = next((f"{row['macs'] / 1e6:.0f}" for row in found if "macs" in row), "")
        files = [cell(row) for row in found] + ["no conversion"] * len(others)
        lines.append(f"| {stem} | {macs} | {' | '.join(files)} |")
    return "\n".join(lines)


def cell(row: Row) -> str:
    """One file."""
    return row.get("why_not") or f"{row['bytes'] / MIB:.1f} MiB, {row['max_rel_diff']:.0e}"


if __name__ == "__main__":
    main()
