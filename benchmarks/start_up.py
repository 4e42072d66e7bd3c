"""How long a command takes to start: this working tree beside an earlier commit, in turns.

    python benchmarks/start_up.py --against COMMIT --pairs 10

Each pair runs a command in fresh processes of both, in alternating order. The ratio now / before is
the Hodges–Lehmann centre of the pairs' ratios with its interval of 95 %; seconds are medians of
processor time, user and system, which a busy machine changes less than the time on the clock.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from same_results import HERE, checkout

from edgeprune import stats

COMMANDS = {
    "import edgeprune.cli": ("-c", "import edgeprune.cli"),
    "edgeprune --help": ("-m", "edgeprune", "--help"),
    "edgeprune compress --help": ("-m", "edgeprune", "compress", "--help"),
    "edgeprune compress nothing.pt": ("-m", "edgeprune", "compress", "nothing.pt"),
    "import edgeprune.pipeline.compress": ("-c", "import edgeprune.pipeline.compress"),
}
"""What is timed: arguments of Python."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--against", required=True, metavar="COMMIT")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--only", nargs="*", help="commands, by a part of their names")
    given = parser.parse_args()
    print("| command | before, s | now, s | now / before |\n|---|---|---|---|")
    with checkout(given.against) as before, tempfile.TemporaryDirectory() as empty:
        for name, arguments in COMMANDS.items():
            if given.only and not any(part in name for part in given.only):
                continue
            pairs = paired(arguments, (before, HERE), Path(empty), given.pairs)
            print(f"| `{name}` | {row(pairs)} |", flush=True)


def paired(
    arguments: tuple[str, ...], trees: tuple[Path, Path], folder: Path, pairs: int
) -> list[tuple[float, float]]:
    """Seconds of both, pair by pair, after a run of each that fills caches."""
    for tree in trees:
        seconds(arguments, tree, folder)
    found = []
    for number in range(pairs):
        order = (0, 1) if number % 2 else (1, 0)
        one = {side: seconds(arguments, trees[side], folder) for side in order}
        found.append((one[0], one[1]))
    return found


def seconds(arguments: tuple[str, ...], tree: Path, folder: Path) -> float:
    """Processor time of a fresh process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def row(pairs: list[tuple[float, float]]) -> str:
    """Medians and the ratio with its interval, as cells."""
    old, new = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = stats.centre([after / before for before, after in pairs])
    return f"{old:.2f} | {new:.2f} | {ratio.value:.2f} ({ratio.low:.2f}–{ratio.high:.2f})"


if __name__ == "__main__":
    main()
