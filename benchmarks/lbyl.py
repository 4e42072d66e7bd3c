"""LBYL for all removed channels at once, against one Cholesky factorisation for each of them.

    python benchmarks/lbyl.py
    python benchmarks/lbyl.py --repeats 9 --out lbyl.json

Both solve the same equations on the same convolution with BatchNorm. The loop works in the space
of raw filters, as the method is derived: for each removed channel p it builds

    A = U Uᵀ + λ₁ g² h hᵀ + λ₂ diag(κ²)        c = U u_p + λ₁ g (g μ_p − β_p) h

and gives κ ∘ A⁻¹c. edgeprune solves all of them with one eigendecomposition. Times include the
inner products of the filters on both sides; repetitions alternate, so that a busy machine slows
both. The last column is the largest relative difference of the coefficients of any channel.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgeprune.artifacts import ChannelGroup, InputSpec, SourceModel
from edgeprune.recovery.closed_form.composed_filters import FilterComposer
from edgeprune.recovery.closed_form.lbyl import Lbyl
from edgeprune.tracing import trace

if TYPE_CHECKING:
    from collections.abc import Callable

CASES = ((64, 0.5), (128, 0.5), (256, 0.3), (256, 0.5), (512, 0.1), (512, 0.3), (512, 0.5))
HEADER = ("channels", "removed", "loop ms", "edgeprune ms", "loop / edgeprune", "difference")


def layer(channels: int) -> nn.Sequential:
    """A 3x3 convolution with BatchNorm of random statistics, and a consumer of its channels."""
    torch.manual_seed(0)
    conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    norm = nn.BatchNorm2d(channels)
    nn.init.uniform_(norm.weight, 0.2, 1.5)
    nn.init.normal_(norm.bias, std=0.5)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.2, 3.0)
    return nn.Sequential(conv, norm, nn.ReLU(), nn.Conv2d(channels, 1, 1)).eval()


def group_of(network: nn.Sequential) -> ChannelGroup:
    """The channels between the convolution and its consumer."""
    shape = (1, network[0].in_channels, 4, 4)
    return trace(SourceModel(network, InputSpec((shape,)), "layer", "")).groups[0]


@torch.no_grad()
def vectorised(
    network: nn.Sequential, group: ChannelGroup, method: Lbyl, kept: Tensor, removed: Tensor
) -> Tensor:
    """Coefficients (R, K) as edgeprune finds them."""
    filters = FilterComposer(network, group).compose(group.having("consumer")[0].reads)
    return method.mixing(filters, kept, removed)


@torch.no_grad()
def one_by_one(network: nn.Sequential, method: Lbyl, kept: Tensor, removed: Tensor) -> Tensor:
    """Coefficients (R, K) by one factorisation for each removed channel."""
    conv, norm = network[0], network[1]
    filters = conv.weight.double().flatten(1)
    scale, shift, mean = norm.weight.double(), norm.bias.double(), norm.running_mean.double()
    std = (norm.running_var.double() + norm.eps).sqrt()
    gain, staying = scale / std, filters[kept]
    zero = (mean - std * shift / scale)[kept]
    products, outer = staying @ staying.T, torch.outer(zero, zero)
    rows = []
    for p in removed.tolist():
        ratio = gain[p] / gain[kept]
        matrix = products + method.constant_weight * gain[p] ** 2 * outer
        matrix.diagonal().add_(method.ridge * ratio**2)
        constant = gain[p] * (gain[p] * mean[p] - shift[p])
        target = staying @ filters[p] + method.constant_weight * constant * zero
        factor = torch.linalg.cholesky(matrix)
        rows.append(ratio * torch.cholesky_solve(target[:, None], factor)[:, 0])
    return torch.stack(rows)


def timed(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Seconds and result of one call."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def case(channels: int, share: float, repeats: int) -> dict:
    """Run both in turns on one layer and keep every time."""
    network, method = layer(channels), Lbyl(1e-5, 1e-3)
    group = group_of(network)
    order = torch.randperm(channels)
    count = round(share * channels)
    removed, kept = order[:count].sort().values, order[count:].sort().values
    sides: dict[str, Callable[[], Tensor]] = {
        "loop": lambda: one_by_one(network, method, kept, removed),
        "edgeprune": lambda: vectorised(network, group, method, kept, removed),
    }
    results = {name: work() for name, work in sides.items()}  # warm-up
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(repeats):
        for name in list(sides)[:: 1 if turn % 2 else -1]:
            seconds[name].append(timed(sides[name])[0])
    apart = (results["edgeprune"] - results["loop"]).abs().amax(1)
    difference = float((apart / results["loop"].abs().amax(1)).max())
    return {"channels": channels, "removed": count, "seconds": seconds, "difference": difference}


def ratios(result: dict) -> list[float]:
    """Loop / edgeprune of each turn, ascending."""
    pairs = zip(result["seconds"]["loop"], result["seconds"]["edgeprune"], strict=True)
    return sorted(loop / ours for loop, ours in pairs)


def as_line(result: dict) -> str:
    """One row of the table, in Markdown."""
    found = ratios(result)
    loop, ours = (
        1e3 * statistics.median(result["seconds"][side]) for side in ("loop", "edgeprune")
    )
    cells = (
        str(result["channels"]), str(result["removed"]), f"{loop:.1f}", f"{ours:.1f}",
        f"{statistics.median(found):.1f} ({found[0]:.1f}–{found[-1]:.1f})",
        f"{result['difference']:.0e}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table row by row and write all times as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    widths = sorted({channels for channels, _ in CASES})
    parser.add_argument("--channels", type=int, nargs="+", choices=widths, default=widths)
    parser.add_argument("--repeats", type=int, default=7, help="turns of both sides")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--out", type=Path, help="file for all times, as JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}", flush=True)
    results = []
    for channels, share in (each for each in CASES if each[0] in options.channels):
        results.append(case(channels, share, options.repeats))
        print(as_line(results[-1]), flush=True)
        if options.out is not None:
            options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
