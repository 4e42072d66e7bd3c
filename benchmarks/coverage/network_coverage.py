"""How much of which networks can be pruned, and is it right? Each in a process of its own.

    python benchmarks/coverage/network_coverage.py          # all that is installed; hours
    python benchmarks/coverage/network_coverage.py --kinds timm yolo --out some.json
    python benchmarks/coverage/network_coverage.py --networks timm:mixnet_s block:spatial-gate

What is in the file of ``--out`` already is not measured again, except what is named, and what
failed where ``--again`` says so. ``--page`` writes all of it as a page, ``page.py`` says how.

Weights are random: what couples channels does not depend on them. "half" is what is left of the
multiply-accumulates when half of every group goes: a quarter where nothing is locked.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import networks
import page


def measured(name: str, limit_s: float) -> dict[str, Any]:
    """The figures of one network, or what ended its process."""
    command = [sys.executable, str(Path(__file__).with_name("one_network.py")), name]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            printed, complaints = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            printed, complaints = process.communicate()
            complaints += f"\nno end after {limit_s:g} s"
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    last = (complaints.strip().splitlines() or ["no word"])[-1]
    if not lines:
        return {"network": name, "failed": f"crashed: {last}"}
    alone = {"torch_pruning": f"crashes: {last}"} if process.returncode else {}
    return {**lines[0], **alone, **(lines[1] if len(lines) > 1 else {})}


def main() -> None:
    """Print the table row by row and keep all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=networks.KINDS, default=networks.KINDS)
    parser.add_argument("--networks", nargs="+", default=[], help="these alone, as kind:name")
    parser.add_argument("--limit", type=float, default=900, help="seconds for each network")
    parser.add_argument("--out", type=Path, default=Path("network_coverage.json"))
    parser.add_argument("--again", action="store_true", help="measure again what failed")
    parser.add_argument("--page", type=Path, help="write the table of all that is known there")
    options = parser.parse_args()
    known: dict[str, Any] = {}
    if options.out.exists():
        listed = json.loads(options.out.read_text(encoding="utf-8"))
        known = {each["network"]: each for each in listed}
    print("\n".join(page.head()))
    for name in options.networks or networks.names(options.kinds):
        done = name in known and not options.networks
        if not done or (options.again and "failed" in known[name]):
            known[name] = measured(name, options.limit)
            options.out.write_text(json.dumps(list(known.values()), indent=1), encoding="utf-8")
        print(page.row(known[name]), flush=True)
    print(f"\n{page.summary(list(known.values()))}")
    if options.page is not None:
        listed = len(networks.names(list(networks.KINDS)))
        options.page.write_text(page.text(list(known.values()), listed), encoding="utf-8")


if __name__ == "__main__":
    main()
