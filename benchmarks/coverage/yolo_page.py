"""What became of YOLO's checkpoints, as a page."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    Figures = dict[str, Any]

COLUMNS = (
    *("network", "pixels", "flags", "MACs left", "MACs that can shrink", "surgery", "parity"),
    *("averaged weights", "YOLO() predicts", "wall s", "CPU s"),
)
INTRODUCTION = """\
# YOLO, from a checkpoint to `YOLO("compressed.onnx")`

Made by `python benchmarks/coverage/yolo.py --page docs/results/yolo.md` on {date}. The checkpoints
are the library's smallest networks with random weights, saved as its trainer saves them. For each,
`edgeprune compress NAME.pt --allow ultralytics --target onnx` ran in a process of its own, with the
flags in the third column and no other, at the image size that the checkpoint says; then the library
predicted on a picture with the file. The times are of a machine that other programs used as well:
CPU seconds hold, wall seconds are an upper bound.
"""


def head() -> list[str]:
    """The first two lines of a table."""
    return [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]


def row(found: Figures) -> str:
    """A line of the table."""
    name, _, raw = found["network"].partition(" ")
    cells = [
        name,
        str(found["side"]),
        f"{raw} {found['flags']}".strip(),
        *(_text(found, key, ".1%") for key in ("macs", "prunable")),
        *(_text(found, key, ".0e") for key in ("surgery", "parity")),
        "yes" if found.get("averaged") else "no",
        found.get("failed", found.get("predicted", "")).replace("|", "/").replace("\n", " "),
        *(_text(found, key, ".0f") for key in ("wall_s", "cpu_s")),
    ]
    return f"| {' | '.join(cells)} |"


def text(results: Sequence[Figures]) -> str:
    """The whole page."""
    today = datetime.datetime.now(datetime.UTC).date()
    failed = sum("failed" in each for each in results)
    counted = f"{len(results)} runs, {failed} failed."
    return "\n".join(
        (INTRODUCTION.format(date=today), counted, "", *head(), *map(row, results), "")
    )


def _text(found: Figures, key: str, form: str) -> str:
    value = found.get(key)
    return "" if value is None else format(value, form)
