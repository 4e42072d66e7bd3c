"""What a fault of the system costs: every call that fails, every moment at which a run is killed.

    python benchmarks/trust/faults.py                # some 600 runs, some minutes
    python benchmarks/trust/faults.py --kinds open   # only where opening a file fails

A run of the whole line replaces an earlier run (``--overwrite``). Its n-th call of open, mkdir,
rename or fsync in the folder fails with a full disk or a broken one, or the disk takes no more byte
from its n-th file on, for every n until a run meets no fault. The same run, with training, is
killed at its n-th call and at its n-th stage, and then resumed. An earlier run counts as lost if
not every byte of it is there, nor the whole of the new one. What runs in a child to simplify the
file and the pictures in report.html are left out, and fsync waits for no disk
(``tests/fault_runs.py``).
"""

from __future__ import annotations

import argparse
import errno
import json
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

import fault_runs  # found beside the tests
import torch
from fault_injection import CALLS

ERRORS = {"full": errno.ENOSPC, "broken": errno.EIO}
KILLS = {
    "killed at a call": ("supervise", *CALLS),
    "killed at a stage": ("supervise", "stage"),
    "killed, two renames": ("analytic", "rename", fault_runs.TWO_RENAMES),
}
FAULTS = (*(f"{call}: {disk}" for call in CALLS for disk in ERRORS), "write: full")
LOST = "the earlier run"

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kinds", nargs="*", help="kinds of faults, or the beginnings of names")
    parser.add_argument("--json", type=Path, default=Path("faults.json"), help="every fault")
    given = parser.parse_args()
    chosen = [k for k in (*FAULTS, *KILLS) if not given.kinds or k.startswith(tuple(given.kinds))]
    torch.set_num_threads(1)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, kind in enumerate(chosen):
            print(kind, file=sys.stderr, flush=True)
            place = Path(folder, str(number))
            place.mkdir()
            rows += killed(kind, place) if kind in KILLS else failed(kind, place)
    given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(table(rows))


def failed(kind: str, folder: Path) -> list[Row]:
    """Every run of one kind of call that fails."""
    call, _, disk = kind.partition(": ")
    with fault_runs.quick():
        scene = fault_runs.scene(folder / "work")
        return [{**asdict(m), "kind": kind} for m in fault_runs.survived(scene, call, ERRORS[disk])]


def killed(kind: str, folder: Path) -> list[Row]:
    """Every run that is killed."""
    return [{**row, "kind": kind} for row in fault_runs.killed_in_a_process(folder, *KILLS[kind])]


def table(rows: list[Row]) -> str:
    """Faults by kind and stage, and what they cost, in Markdown."""
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    header = ("fault", *stages, "all", "exit codes", "earlier runs lost", "resumed alike", "laws")
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    for kind in dict.fromkeys(row["kind"] for row in rows):
        found = [row for row in rows if row["kind"] == kind]
        counts = Counter(row["stage"] for row in found)
        cells = (kind, *(str(counts[stage]) for stage in stages), str(len(found)), *costs(found))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def costs(rows: list[Row]) -> tuple[str, ...]:
    """Exit codes, earlier runs lost, runs resumed to the same bytes, laws that did not hold."""
    codes = Counter("killed" if row["code"] < 0 else str(row["code"]) for row in rows)
    lost = sum(any(law.startswith(LOST) for law in row["broken"]) for row in rows)
    kills = [row for row in rows if row["code"] < 0]
    alike = sum(not any("resumes" in law for law in row["broken"]) for row in kills)
    return (
        ", ".join(f"{code}: {count}" for code, count in codes.items()),
        str(lost),
        f"{alike} of {len(kills)}" if kills else "",
        f"{sum(bool(row['broken']) for row in rows)} broken",
    )


if __name__ == "__main__":
    main()
