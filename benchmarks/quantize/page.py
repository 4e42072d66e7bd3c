"""Writes the tables of the results page from the figures that the other scripts left.

    python benchmarks/quantize/page.py docs/results/int8.md --accuracy a.json --weights w.json

Each table stands between ``<!-- NAME -->`` and ``<!-- end -->`` on the page, and is replaced whole;
the words around it stay. Tables without figures stay as they are.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).parent))

NETWORK = ("network", "float")
COLUMNS = {
    "accuracy": (*NETWORK, "no data", "`--image-free`", "images", "static, images",
                 "dynamic, no data", "NNCF, procedural", "size / float"),
    "weights": (*NETWORK, "fp16", "int8", "int8, nearest", "int4", "int4, nearest",
                "size fp16", "size int8", "size int4"),
    "latency": ("network", "float, ms", "all int8 / float", "mixed / float", "nodes in float"),
    "pruned": ("network", "MACs", "float, points", "float / original, latency", "int8, points",
               "int8 / original, latency", "size", "delivered"),
    "widths": ("channels", "3×3, 16 pixels: float, int8 µs", "1×1, 14 pixels: float, int8 µs",
               "depthwise 3×3, 28 pixels: float, int8 µs"),
}  # fmt: skip
"""Columns of the tables, by the name of the table."""


def rows(name: str, results: dict[str, Any]) -> list[str]:
    """The rows of a table, as the script that made the figures prints them."""
    if name == "widths":
        return [_widths(width, found) for width, found in results.items()]
    line: Callable[..., str] = importlib.import_module(name).line
    if name == "pruned":
        return [line(key.split()[0], found, found["original"]) for key, found in results.items()]
    return [line(network, found) for network, found in results.items()]


def _widths(width: str, found: dict[str, tuple[float, float]]) -> str:
    cells = [f"{1e6 * floats:.0f}, {1e6 * codes:.0f}" for floats, codes in found.values()]
    return f"| {' | '.join((width, *cells))} |"


def replaced(page: str, name: str, lines: list[str]) -> str:
    """The page with another table under a name.

    Raises:
        ValueError: The page has no place for it.
    """
    header = COLUMNS[name]
    table = "\n".join((f"| {' | '.join(header)} |", f"|{'---|' * len(header)}", *lines))
    pattern = re.compile(rf"(<!-- {name} -->\n)(?:(?!<!--).)*(<!-- end -->)", re.DOTALL)
    found, count = pattern.subn(lambda each: f"{each[1]}{table}\n{each[2]}", page)
    if count != 1:
        raise ValueError(f"the page has no table called {name}")
    return found


def main() -> None:
    """Rewrite the tables whose figures are given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path)
    for name in COLUMNS:
        parser.add_argument(f"--{name}", type=Path, nargs="+", default=[], metavar="JSON")
    options = parser.parse_args()
    page = options.page.read_text(encoding="utf-8")
    for name in COLUMNS:
        results: dict[str, Any] = {}
        for path in getattr(options, name):
            results |= json.loads(path.read_text(encoding="utf-8"))
        if results:
            page = replaced(page, name, rows(name, results))
    options.page.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
