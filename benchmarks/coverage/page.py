"""What was measured of networks, as a page: a summary, and a table for each kind."""

from __future__ import annotations

import datetime
import statistics
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    Figures = dict[str, Any]

COLUMNS = (
    *("network", "groups", "MACs that can shrink", "keep outputs", "half", "proof", "parity"),
    *("CPU s", "Torch-Pruning alone", "most locked by"),
)
TITLES = {
    "block": "Blocks, as people write them",
    "torchvision": "torchvision: classification",
    "detection": "torchvision: detection and keypoints (backbone and heads)",
    "segmentation": "torchvision: segmentation",
    "video": "torchvision: video",
    "timm": "timm, one of each family",
    "yolo": "YOLO, Ultralytics",
    "smp": "segmentation_models_pytorch",
}
LIMIT_S = 120
"""CPU seconds that no network should take."""

MOST = 0.9
"""Share of MACs that counts as nearly all of a network."""

INTRODUCTION = """\
# Which networks can be pruned, and how much of them

Made by `python benchmarks/coverage/network_coverage.py --page docs/results/networks.md` on {date}.
Every network has random weights (what couples channels does not depend on them) and small images,
where it takes any size. A random half of every group of channels is cut at once; the result is
proved against the original with these channels masked, in double precision, exported to ONNX and
compared with PyTorch.

- *MACs that can shrink*: the share of multiply-accumulates that goes as all prunable channels go.
  *keep outputs*: the share of layers whose output channels all stay.
- *half*: what is left of the MACs when half of every group goes; 25 % where nothing is locked.
- *proof*, *parity*: the largest relative difference of any layer, and of the ONNX file's outputs.
- *CPU s*: tracing, trial surgery, cut, proof, export and comparison, on one core.
- *Torch-Pruning alone*: the same halving by `MagnitudePruner`, with the layers that make outputs
  ignored, and YOLO's C2f blocks rewritten as its users do; whether it computes the right thing is
  not looked at there, only the shapes of outputs. Empty where it was not tried.
- *most locked by*: the reason that holds most MACs, beside what makes the network's outputs.
- ⊗ behind a name: maps are multiplied with maps somewhere, as attention does.
"""


def head() -> list[str]:
    """The first two lines of a table."""
    return [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]


def row(found: Figures) -> str:
    """A line of the table."""
    why = found.get("failed") or next(iter(found.get("reasons") or {}), "")
    cells = [
        found["network"] + (" ⊗" if found.get("attention") else ""),
        str(found.get("groups", "")),
        *(_text(found, key, ".1%") for key in ("prunable_macs_share", "fixed_width_macs_share")),
        _text(found, "half_macs", ".0%"),
        *(_text(found, key, ".0e") for key in ("proof", "parity")),
        _text(found, "cpu_s", ".1f"),
        found.get("torch_pruning", ""),
        why.replace("|", "/"),
    ]
    return f"| {' | '.join(cells)} |"


def summary(results: Sequence[Figures]) -> str:
    """How many networks came through, and how many of them nearly whole."""
    proved = _proved(results)
    most = _nearly_whole(proved)
    slowest = max((each.get("cpu_s", 0.0) for each in results), default=0.0)
    return (
        f"{len(results)} networks: {len(proved)} proved and exported, {most} of them with at least "
        f"90% of the MACs able to shrink; slowest {slowest:.0f} CPU s"
    )


def text(results: Sequence[Figures], listed: int) -> str:
    """The whole page.

    Args:
        results: What was measured.
        listed: How many networks the benchmark has.
    """
    today = datetime.datetime.now(datetime.UTC).date()
    measured = f"Measured until then: {len(results)} of the {listed} networks in its list."
    parts = [INTRODUCTION.format(date=today), measured, _totals(results)]
    for kind, title in TITLES.items():
        own = [each for each in results if each["network"].partition(":")[0] == kind]
        if own:
            parts.append(
                "\n".join((f"## {title}\n", f"{summary(own)}.\n", *head(), *map(row, own)))
            )
    return "\n\n".join(parts) + "\n"


def _totals(results: Sequence[Figures]) -> str:
    """The figures of all networks together."""
    proved = _proved(results)
    plain = [each for each in proved if not each.get("attention")]
    failed = Counter(each["failed"].partition(":")[0] for each in results if "failed" in each)
    cpu_s = [each["cpu_s"] for each in results if "cpu_s" in each]
    words = [each["torch_pruning"] for each in results if each.get("torch_pruning")]
    alone = Counter("runs" if "% of" in each else each.partition(":")[0] for each in words)
    whole, slow = _nearly_whole(plain), sum(each > LIMIT_S for each in cpu_s)
    share = whole / max(1, len(plain))
    typical = statistics.median(cpu_s or [0.0])
    lines = (
        f"{summary(results)}.",
        f"Without products of maps: {len(plain)}, with 90 % of the MACs {whole} ({share:.1%}).",
        f"CPU seconds: median {typical:.1f}; above {LIMIT_S}: {slow}.",
        f"Refused or failed: {_counted(failed) or 'none'}.",
        f"Torch-Pruning alone: {_counted(alone) or 'not installed'}.",
    )
    return "\n".join(f"- {line}" for line in lines)


def _counted(found: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in found.most_common())


def _proved(results: Sequence[Figures]) -> list[Figures]:
    return [each for each in results if each.get("parity") is not None]


def _nearly_whole(results: Sequence[Figures]) -> int:
    return sum(each["prunable_macs_share"] >= MOST for each in results)


def _text(found: Figures, key: str, form: str) -> str:
    value = found.get(key)
    return "" if value is None else format(value, form)
