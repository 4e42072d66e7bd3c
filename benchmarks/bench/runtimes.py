"""Networks on every runtime: latency, memory, outputs, and what measuring takes besides.

    python benchmarks/bench/models.py --out FOLDER
    python benchmarks/bench/runtimes.py FOLDER --threads 1 2 --seconds 30 --out runtimes.json

Every NAME.onnx of FOLDER that has a NAME_50.onnx beside it is compared with that, as
``edgeprune bench`` does; runtimes that take other files run those of the same names. The ratio is
that of p5 latencies with its 95 % interval, the milliseconds are medians. Outputs are
compared with ONNX Runtime's, relative to the largest. Overhead is the measurement's wall time over
the time inside timed inferences.

Prints a table for each number of threads. --out keeps every sample, and a repeated command goes on
from there; what failed is tried again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune import bench
from edgeprune.artifacts import no_progress
from edgeprune.bench import on_runtimes, pairing
from edgeprune.errors import EdgepruneError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgeprune.artifacts import Measurement
    from edgeprune.bench.runtimes import Runtime

SUFFIX = "_50"
"""End of the name of a compressed network."""
LONGEST_REASON = 90
MIB = 2**20
HEADER = (
    "runtime",
    "network",
    "original, ms",
    "50 %, ms",
    "ratio",
    "peak in run, MiB",
    "outputs",
    "sessions",
    "overhead",
)

Row = dict[str, Any]
Job = tuple[Row, Callable[[], Row]]


def main() -> None:
    """Measure what --out does not have yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what models.py wrote")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="one table for each")
    parser.add_argument("--seconds", type=float, default=30.0, help="the most a comparison takes")
    parser.add_argument("--only", nargs="*", default=[], help="names of networks")
    parser.add_argument("--out", type=Path, default=Path("runtimes.json"))
    options = parser.parse_args()
    networks = options.only or pairs(options.folder.glob(f"*{SUFFIX}.onnx"))
    wanted = [
        {"threads": threads, "runtime": runtime, "network": name, "seconds": options.seconds}
        for threads in options.threads
        for runtime in bench.RUNTIMES
        for name in networks
    ]
    rows = earlier(options.out)
    work([(key, partial(measured, options.folder, key)) for key in wanted], options.out, rows)
    for threads in options.threads:
        found = [row for key in wanted if key["threads"] == threads for row in matching(rows, key)]
        print(f"Threads: {threads}\n\n{table(found)}\n")


def pairs(compressed: Iterable[Path]) -> list[str]:
    """The networks that are there whole and compressed."""
    return sorted(path.stem.removesuffix(SUFFIX) for path in compressed)


def measured(folder: Path, key: Row) -> Row:
    """The comparison's samples and what is derived from them; or why there are none.

    Raises:
        EdgepruneError: When the runtime fails.
    """
    models = tuple(folder / f"{key['network']}{suffix}.onnx" for suffix in ("", SUFFIX))
    runtime = bench.RUNTIMES[key["runtime"]]
    if why := lacking(runtime, models):
        return {"why_not": why}
    settings = bench.BenchSettings(
        runtime=runtime.name, threads=key["threads"], seconds=key["seconds"]
    )
    for model in models:  # before the clock runs: converting one may take long
        runtime.prepared(model)
    start = time.perf_counter()
    found = bench.compare(*models, settings)
    wall_s = time.perf_counter() - start
    parity = on_runtimes.parity_of(models, settings, no_progress)
    return {
        **asdict(found),
        "version": runtime.installed(),
        "wall_s": wall_s,
        "timed_s": sum(timed_s(side) for side in (found.original, found.compressed)),
        "max_rel_diff": [each.max_rel_diff for each in parity.models if each],
    }


def lacking(runtime: Runtime, models: tuple[Path, ...]) -> str:
    """The reason why the runtime cannot be measured, in a few words; empty where it can."""
    runnable = all(map(runtime.runs, models))
    if not runnable and not runtime.target:
        return f"no conversion to {runtime.takes}"
    if runtime.installed() is None:
        return "not installed"
    return "" if runnable else f"no {runtime.takes} files"


def timed_s(side: Measurement) -> float:
    """Time of all timed inferences of a model together, in seconds."""
    return sum(map(sum, side.blocks_s))


def table(rows: list[Row]) -> str:
    """One line for each runtime and network, in Markdown."""
    lines = [f"| {' | '.join(HEADER)} |", f"|{'---|' * len(HEADER)}"]
    lines += [f"| {' | '.join(cells(row))} |" for row in rows]
    loads = [
        load[0]
        for row in rows
        if "latency" in row
        for load in row["environment"]["load_average"].values()
        if load
    ]
    if loads:
        lines += ["", f"The machine's load average was {min(loads):.1f} to {max(loads):.1f}."]
    return "\n".join(lines)


def cells(row: Row) -> list[str]:
    """A line of the table; what was not measured has its reason in place of figures."""
    if "latency" not in row:
        reason = row["why_not"][:LONGEST_REASON]
        return [row["runtime"], row["network"], reason, *[""] * (len(HEADER) - 3)]
    sides = (row["original"]["sessions"], row["compressed"]["sessions"])
    peaks = [statistics.median(one["run_peak_rss_bytes"] for one in side) / MIB for side in sides]
    return [
        f"{row['runtime']} {row['version']}",
        row["network"],
        *(f"{1000 * median_s(side):.1f}" for side in sides),
        interval(row["latency"]),
        " → ".join(f"{peak:.1f}" for peak in peaks),
        outputs(row),
        str(len(sides[0])),
        f"{row['wall_s'] / row['timed_s']:.1f} ×",
    ]


def outputs(row: Row) -> str:
    """Difference of the worse model's outputs from ONNX Runtime's."""
    if row["runtime"] == on_runtimes.REFERENCE:
        return "reference"
    return f"{max(row['max_rel_diff']):.0e}" if row["max_rel_diff"] else "not compared"


def interval(ratio: Row) -> str:
    """A ratio with its interval."""
    return f"{ratio['value']:.3f} ({ratio['low']:.3f}–{ratio['high']:.3f})"


def median_s(sessions: list[Row]) -> float:
    """The median of all runs of the sessions, in seconds."""
    return pairing.median_latency(tuple(b for one in sessions for b in one["blocks_s"]))


def work(jobs: list[Job], file: Path, rows: list[Row]) -> None:
    """Do what the rows do not have yet, and keep each result at once; prints what is left.

    Args:
        jobs: The key of each result, and the function that finds it.
        file: The file for results.
        rows: Results that the file has already; new ones are added.
    """
    left = [
        (key, find) for key, find in jobs if all("why_not" in row for row in matching(rows, key))
    ]
    for number, (key, find) in enumerate(left, 1):
        doing = ", ".join(f"{name} {value}" for name, value in key.items())
        print(f"{number} of {len(left)}: {doing}", file=sys.stderr, flush=True)
        try:
            found = find()
        except EdgepruneError as error:
            found = {"why_not": str(error)}
        keep(file, rows, key, found)


def earlier(file: Path) -> list[Row]:
    """Results of earlier runs in a file; none where there is no file."""
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []


def matching(rows: list[Row], key: Row) -> list[Row]:
    """The rows of a key."""
    return [row for row in rows if key.items() <= row.items()]


def keep(file: Path, rows: list[Row], key: Row, found: Row) -> None:
    """Put a result among the rows and into the file, which is at no time half written.

    What an earlier run found of the same key goes.
    """
    rows[:] = [row for row in rows if row not in matching(rows, key)] + [{**key, **found}]
    draft = file.with_name(f"{file.name}.part")
    draft.write_text(json.dumps(rows) + "\n", encoding="utf-8")
    draft.replace(file)


if __name__ == "__main__":
    main()
