"""Deep networks through every stage: CPU seconds by depth, and how they grow.

    python benchmarks/trust/depth.py                                 300, 1000 and 3000 layers
    python benchmarks/trust/depth.py --kinds chain --depths 100 300  other sizes
    python benchmarks/trust/depth.py --until recover                 without export

Each network is generated with narrow layers (8 channels on 8×8 pixels), so that what is measured is
what depth costs and not arithmetic. The exponent is the slope of log CPU seconds over log depth,
from the least to the greatest: 1 is linear growth. Each run has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import resource
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeprune import costs
from edgeprune.errors import EdgepruneError
from edgeprune.export.onnx import OnnxTarget
from edgeprune.export.weights import save_weights
from edgeprune.loading import wrap
from edgeprune.pruning import Macs, lock_failing, plan, prune
from edgeprune.recovery import recover
from edgeprune.recovery.closed_form.analytic import Analytic
from edgeprune.tracing import trace

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH, SHAPE = 8, (1, 3, 8, 8)
STAGES = ("load", "trace", "try", "count", "plan", "prune", "recover", "save", "export")
DENSE_AT_MOST = 300
"""A dense network's connections grow with the square of its depth, whatever reads them."""


class Residual(nn.Module):
    """Two convolutions and a shortcut around them."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = normed(WIDTH, WIDTH), normed(WIDTH, WIDTH)
        nn.init.constant_(self.outer[1].weight, 1e-3)  # or the stream would double in every block
        nn.init.zeros_(self.outer[1].bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.outer(F.relu(self.inner(x))))


class Dense(nn.Module):
    """Every layer reads what all before it made."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(normed(3 + 2 * place, 2) for place in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat((x, F.relu(layer(x))), 1)
        return x


def normed(inputs: int, outputs: int) -> nn.Sequential:
    """A convolution near the identity and its BatchNorm, mostly in ReLU's linear part.

    Rounding would grow by a fifth with every layer of a random network (ReLU and BatchNorm), and
    after a hundred layers no runtime would agree with any other.
    """
    convolution, norm = (
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
    )
    with torch.no_grad():
        nn.init.dirac_(convolution.weight).add_(0.02 * torch.randn_like(convolution.weight))
        norm.running_mean.fill_(4.0)
        norm.bias.fill_(4.0)
    return nn.Sequential(convolution, norm)


def chain(depth: int) -> nn.Module:
    """Convolution after convolution."""
    inputs = (3, *[WIDTH] * (depth - 1))
    return nn.Sequential(*(part for width in inputs for part in (normed(width, WIDTH), nn.ReLU())))


def residual(depth: int) -> nn.Module:
    """One residual stream along all blocks."""
    return nn.Sequential(normed(3, WIDTH), *(Residual() for _ in range(depth // 2)))


def nested(depth: int) -> nn.Module:
    """Each layer inside the module of the one before it."""
    network = nn.Sequential()
    for place in range(depth):
        width = 3 if place == depth - 1 else WIDTH
        network = nn.Sequential(normed(width, WIDTH), nn.ReLU(), network)
    return network


KINDS: dict[str, Callable[[int], nn.Module]] = {
    "chain": chain,
    "residual": residual,
    "dense": Dense,
    "nested": nested,
}


def network(kind: str, depth: int) -> nn.Module:
    """A network of a kind, with a head of four outputs."""
    torch.manual_seed(0)
    body = KINDS[kind](depth)
    width = 3 + 2 * depth if kind == "dense" else WIDTH
    return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 4)).eval()


def stages(kind: str, depth: int, until: str) -> dict[str, Any]:
    """CPU seconds of each stage for one network, up to the last that is asked for."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {"kind": kind, "depth": depth, "cpu_s": {}}
    try:
        with tempfile.TemporaryDirectory() as folder:
            _run(network(kind, depth), Path(folder), until, found)
    except (EdgepruneError, RecursionError, _Done) as error:
        if not isinstance(error, _Done):
            found["error"] = f"{type(error).__name__}: {error}"
    found["peak_rss_bytes"] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found


def _run(module: nn.Module, folder: Path, until: str, found: dict[str, Any]) -> None:
    def timed(stage: str, work: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = work()
        found["cpu_s"][stage] = time.process_time() - start
        if stage == until:
            raise _Done
        return result

    source = timed("load", lambda: wrap(module, SHAPE))
    traced = timed("trace", lambda: trace(source))
    found["groups"] = len(traced.groups)
    traced = timed("try", lambda: lock_failing(traced))
    counted = timed("count", lambda: costs.count(source.module, source.input, traced.record))
    planned = timed("plan", lambda: plan(traced, counted, Macs(0.5)))
    found["macs"] = planned.allocated.reached
    pruned = timed("prune", lambda: prune(traced, planned.plan))
    found["surgery"] = pruned.surgery.max_rel_diff
    recovered = timed("recover", lambda: recover(traced, pruned, [Analytic()]))
    timed("save", lambda: save_weights(recovered, folder / "compressed.safetensors"))
    file = folder / "compressed.onnx"
    exported = timed("export", lambda: OnnxTarget()(recovered.module, recovered.input, file, {}))
    found["parity"] = exported.parity.max_rel_diff


class _Done(Exception):
    """The last stage asked for has run."""


def exponents(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The growth of each stage, by kind of network; of what took a tenth of a second at least."""
    grown: dict[str, dict[str, float]] = {}
    for kind in dict.fromkeys(row["kind"] for row in rows):
        alike = sorted((row for row in rows if row["kind"] == kind), key=lambda row: row["depth"])
        first, last = alike[0], alike[-1]
        deeper = math.log(last["depth"] / first["depth"]) if last is not first else 0.0
        grown[kind] = {
            stage: math.log(last["cpu_s"][stage] / seconds) / deeper
            for stage, seconds in first["cpu_s"].items()
            if deeper and last["cpu_s"].get(stage, 0.0) > 0.1 and seconds > 0
        }
    return grown


def as_line(row: dict[str, Any]) -> str:
    """One row of the table, in Markdown."""
    spent = [f"{row['cpu_s'][s]:.1f}" if s in row["cpu_s"] else "" for s in STAGES]
    outcome = row.get("error", f"surgery {row.get('surgery', math.nan):.0e}")
    memory = f"{row['peak_rss_bytes'] / 2**20:.0f}"
    return f"| {' | '.join((row['kind'], str(row['depth']), *spent, memory, outcome))} |"


def main() -> None:
    """Print a row for each network, then the exponents; write all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--depths", nargs="*", type=int, default=[300, 1000, 3000])
    parser.add_argument("--until", default=STAGES[-1], choices=STAGES, help="the last stage to run")
    parser.add_argument("--out", type=Path, default=Path("depth.json"))
    options = parser.parse_args()
    header = ("network", "layers", *(f"{stage} s" for stage in STAGES), "peak MiB", "outcome")
    print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}", flush=True)
    rows: list[dict[str, Any]] = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for kind in options.kinds:
            for depth in options.depths:
                if kind != "dense" or depth <= DENSE_AT_MOST:
                    rows.append(pool.apply(stages, (kind, depth, options.until)))
                    print(as_line(rows[-1]), flush=True)
    for kind, growth in exponents(rows).items():
        each = ", ".join(f"{stage} {exponent:.2f}" for stage, exponent in growth.items())
        print(f"growth of {kind}: {each}")
    figures = {"version": version("edgeprune"), "rows": rows, "exponents": exponents(rows)}
    options.out.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
