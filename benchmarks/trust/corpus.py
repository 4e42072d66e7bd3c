"""Hostile inputs of every kind, through every command that takes them: what they achieved.

Nothing should: no code runs, nothing is written outside the run, no refusal is called a bug, none
takes more than 10 s of CPU or 1 GiB, no control character is printed.

    python benchmarks/trust/corpus.py
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hostile_arguments
import hostile_networks
import hostile_onnx
import hostile_pickles
import hostile_stored
import hostile_texts
from sandbox import LIMIT_BYTES, LIMIT_S, Sandbox

if TYPE_CHECKING:
    from sandbox import Case, Seen

KINDS = {
    module.KIND: module.cases
    for module in (
        *(hostile_pickles, hostile_networks, hostile_stored),
        *(hostile_onnx, hostile_texts, hostile_arguments),
    )
}
COLUMNS = ("ran code", "wrote", "exit 1", "took", "hangs", "ended by signal", "printed")
"""How faults begin, a column each."""


def main() -> None:
    """Run the inputs and print the table."""
    chosen = _options()
    results = {kind: _tried(kind, chosen) for kind in chosen.only or KINDS}
    chosen.out.write_text(json.dumps(results, indent=1), encoding="utf-8")
    heads = (
        "code ran",
        "written outside",
        "exit 1",
        f"over {LIMIT_S:.0f} s or {LIMIT_BYTES >> 30} GiB",
    )
    print(f"| inputs | tried | commands | {' | '.join(heads)} | hung | crashed | raw output |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    rows = {kind: _row(found) for kind, found in results.items()}
    rows["all"] = [sum(column) for column in zip(*rows.values(), strict=True)]
    for kind, row in rows.items():
        print(f"| {kind} | {' | '.join(map(str, row))} |")
    print()
    codes = Counter(str(seen["code"]) for found in results.values() for seen in found)
    print("exit codes:", ", ".join(f"{code}: {n}" for code, n in sorted(codes.items())))
    slowest = max((seen for found in results.values() for seen in found), key=lambda s: s["cpu_s"])
    largest = max((seen for found in results.values() for seen in found), key=lambda s: s["peak"])
    print(f"slowest: {slowest['cpu_s']:.1f} s of CPU ({slowest['name']})")
    print(f"largest: {largest['peak'] >> 20} MiB ({largest['name']})")
    faults = [seen for found in results.values() for seen in found if seen["faults"]]
    for seen in faults:
        print("-", _told(seen))
    sys.exit(1 if faults else 0)


def _options() -> Any:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="*", choices=list(KINDS), help="kinds of inputs")
    parser.add_argument("--every", type=int, default=1, help="try every n-th input alone")
    parser.add_argument("--out", type=Path, default=Path("corpus.json"), help="results")
    return parser.parse_args()


def _tried(kind: str, chosen: Any) -> list[dict[str, Any]]:
    """What each command did on each input of a kind."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        sandbox = Sandbox(Path(folder)).prepared()
        cases = list(KINDS[kind](sandbox.work, sandbox.canary))
        for number, case in enumerate(cases[:: chosen.every]):
            found += [_record(number, case, each, sandbox.run(each)) for each in case.commands]
            for seen in found[-len(case.commands) :]:
                if seen["faults"]:
                    print(kind, _told(seen), file=sys.stderr, flush=True)
    return found


def _record(number: int, case: Case, command: tuple[str, ...], seen: Seen) -> dict[str, Any]:
    return {
        "input": number,
        "name": case.name.encode("unicode_escape").decode()[:80],
        "command": " ".join(command).encode("unicode_escape").decode()[:120],
        "code": seen.code,
        "cpu_s": seen.cpu_s,
        "peak": seen.peak_bytes,
        "faults": seen.faults,
        "said": seen.text[-400:].encode("unicode_escape").decode() if seen.faults else "",
    }


def _told(seen: dict[str, Any]) -> str:
    return f"{seen['name']}: {seen['command']}: {'; '.join(seen['faults'])}: {seen['said']}"


def _row(found: list[dict[str, Any]]) -> list[int]:
    """Inputs, commands, and commands with each kind of fault."""
    counts = [
        sum(any(fault.startswith(begin) for fault in seen["faults"]) for seen in found)
        for begin in COLUMNS
    ]
    return [len({seen["input"] for seen in found}), len(found), *counts]


if __name__ == "__main__":
    main()
