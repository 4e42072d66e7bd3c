"""What recovery without images costs: seconds and memory, and how both grow with the network.

    python benchmarks/recovery/speed.py
    python benchmarks/recovery/speed.py --networks resnet50 --methods analytic reconstruct

Networks are torchvision's at 224 pixels with random weights, which cost what trained ones do, and
chains convolution – BatchNorm – ReLU – convolution of C channels (``chain-C``). Every group that
may be pruned loses the same share of its channels, about half of the multiply-accumulates. Each
case runs in a process of its own. Memory is the peak of the process during recovery, less
what it used before, with both networks loaded. CPU seconds are those of all threads: on a busy
machine they say more than the clock.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import math
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import nn

import edgeprune as ep
from edgeprune.artifacts import KeptChannels, PruningPlan
from edgeprune.artifacts.findings import as_text
from edgeprune.pruning import prune
from edgeprune.recovery import METHODS, RecoveryContext
from edgeprune.tracing import trace

NETWORKS = ["resnet18", "resnet34", "resnet50", "resnet101", "mobilenet_v2", "vgg16_bn"]
CHAINS = [f"chain-{2**power}" for power in range(6, 12)]
STAYS = math.sqrt(0.5)  # of the inputs and of the outputs of a layer
HEADER = ("network", "weights MiB", "method", "seconds", "CPU seconds", "peak MiB", "peak/weights")
MIB = 2**20


def network_of(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A network with random weights, and the shape of its input."""
    torch.manual_seed(0)
    if name.startswith("chain-"):
        width = int(name.removeprefix("chain-"))
        layers = [nn.Conv2d(3, width, 1), nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        return nn.Sequential(*layers, nn.Conv2d(width, 8, 1)).eval(), (1, 3, 8, 8)
    import torchvision

    return getattr(torchvision.models, name)(weights=None).eval(), (1, 3, 224, 224)


def resident(field: str) -> float:
    """A size of this process that Linux reports, in MiB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    sizes = (line.split() for line in status.splitlines() if line.startswith(f"{field}:"))
    return next((int(size) / 1024 for _, size, _ in sizes), math.nan)


def measured(name: str, method: str, threads: int) -> dict:
    """Prune a network, then recover it once."""
    torch.set_num_threads(threads)
    module, shape = network_of(name)
    traced = trace(ep.wrap(module, shape, name=name))
    groups = tuple(
        KeptChannels(group.name, group.width, tuple(_staying(group.width, group.partitions)))
        for group in traced.prunable
    )
    pruned = prune(traced, PruningPlan(groups, traced.source.sha256, {}))
    recover = METHODS[method]()
    context = RecoveryContext(score_images=False)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what tracing used must not hide what recovery needs
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak starts anew
    before, clock, cpu = resident("VmRSS"), time.perf_counter(), time.process_time()
    detail = as_text(recover(traced, pruned, context).recovered_by[-1].notes)
    return {
        "network": name, "method": method, "threads": threads, "detail": detail,
        "seconds": time.perf_counter() - clock, "cpu_seconds": time.process_time() - cpu,
        "peak_mib": resident("VmHWM") - before,
        "weights_mib": sum(p.numel() * p.element_size() for p in module.parameters()) / MIB,
    }  # fmt: skip


def _staying(width: int, partitions: int) -> list[int]:
    """The first channels of every partition of a group that must be cut alike."""
    size = width // partitions
    count = max(1, round(STAYS * size))
    return [start + place for start in range(0, width, size) for place in range(count)]


def apart(name: str, method: str, threads: int) -> dict:
    """Figures of one case, measured in a process of its own."""
    command = [sys.executable, __file__, "--case", name, method, "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    record: dict = json.loads(done.stdout.splitlines()[-1])
    return record


def as_line(record: dict) -> str:
    """One row of the table, in Markdown."""
    cells = (
        record["network"], f"{record['weights_mib']:.1f}", record["method"],
        f"{record['seconds']:.1f}", f"{record['cpu_seconds']:.1f}", f"{record['peak_mib']:.0f}",
        f"{record['peak_mib'] / record['weights_mib']:.1f}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def slope(records: list[dict]) -> float:
    """Slope of log CPU seconds over log width, between the two widest chains."""
    chains = [r for r in records if r["network"].startswith("chain-")]
    widths = [int(r["network"].removeprefix("chain-")) for r in chains]
    ratio = chains[-1]["cpu_seconds"] / chains[-2]["cpu_seconds"]
    return math.log(ratio) / math.log(widths[-1] / widths[-2])


def main() -> None:
    """Print the table row by row and write all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS + CHAINS)
    parser.add_argument("--methods", nargs="+", default=["analytic"])
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--out", type=Path, help="file for all figures, as JSON")
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case is not None:
        print(json.dumps(measured(*options.case, options.threads)))
        return
    print(f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}", flush=True)
    for method in options.methods:
        records = []
        for name in options.networks:
            records.append(apart(name, method, options.threads))
            print(as_line(records[-1]), flush=True)
            if options.out is not None:
                options.out.write_text(json.dumps(records, indent=1), encoding="utf-8")
        if sum(r["network"].startswith("chain-") for r in records) > 1:
            print(f"\n{method}: CPU seconds grow with width to the power {slope(records):.2f}\n")


if __name__ == "__main__":
    main()
