"""How much of which networks can be pruned, and is it right? Each in a process of its own.

    python benchmarks/coverage/network_coverage.py          # blocks, torchvision, timm
    python benchmarks/coverage/network_coverage.py --kinds timm --out timm.json
    python benchmarks/coverage/network_coverage.py --networks timm:mixnet_s block:spatial-gate

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

COLUMNS = (
    *("network", "groups", "MACs that can shrink", "keep outputs", "half", "proof", "parity"),
    *("CPU s", "Torch-Pruning alone", "most locked by"),
)


def measured(name: str, limit_s: float) -> dict[str, Any]:
    """The figures of one network, or what ended its process."""
    command = [sys.executable, str(Path(__file__).with_name("one_network.py")), name]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return {"network": name, "failed": f"no end after {limit_s:g} s"}
    if ran.returncode:
        last = (ran.stderr.strip().splitlines() or ["no word"])[-1]
        return {"network": name, "failed": f"crashed: {last}"}
    return json.loads(ran.stdout.splitlines()[-1])


def row(found: dict[str, Any]) -> list[str]:
    """A line of the table."""
    reasons = found.get("reasons") or {}
    why = found.get("failed") or next(iter(reasons), "")
    return [
        found["network"],
        str(found.get("groups", "")),
        *(_text(found, key, ".1%") for key in ("prunable_macs_share", "fixed_width_macs_share")),
        _text(found, "half_macs", ".0%"),
        *(_text(found, key, ".0e") for key in ("proof", "parity")),
        _text(found, "cpu_s", ".1f"),
        found.get("torch_pruning", ""),
        why.replace("|", "/"),
    ]


def summary(results: list[dict[str, Any]]) -> str:
    """How many networks came through, and how many of them nearly whole."""
    proved = [each for each in results if each.get("parity") is not None]
    most = sum(each["prunable_macs_share"] >= 0.9 for each in proved)
    slowest = max((each.get("cpu_s", 0.0) for each in results), default=0.0)
    return (
        f"{len(results)} networks: {len(proved)} proved and exported, {most} of them with at least "
        f"90% of the MACs able to shrink; slowest {slowest:.0f} CPU s"
    )


def _text(found: dict[str, Any], key: str, form: str) -> str:
    value = found.get(key)
    return "" if value is None else format(value, form)


def main() -> None:
    """Print the table row by row and write all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = ["block", "torchvision", "timm"]
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--networks", nargs="+", default=[], help="these alone, as kind:name")
    parser.add_argument("--limit", type=float, default=300, help="seconds for each network")
    parser.add_argument("--out", type=Path, default=Path("network_coverage.json"))
    options = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    results = []
    for name in options.networks or networks.names(options.kinds):
        results.append(measured(name, options.limit))
        print(f"| {' | '.join(row(results[-1]))} |", flush=True)
        options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(f"\n{summary(results)}")


if __name__ == "__main__":
    main()
