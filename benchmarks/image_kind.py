"""Whether networks can tell procedural images from white noise.

    python benchmarks/image_kind.py --models FOLDER

FOLDER holds ``zoo.py`` with ``load`` and ``TABLE``. For each network with BatchNorms: by how much
the statistics of dead leaves are off from the stored ones, by how much those of white noise are, in
standard deviations of a channel, and the ratio of both. Recovery trains on procedural images where
the ratio is below 0.75.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgeprune.errors import ModelUnsupported
from edgeprune.images.procedural import DeadLeaves
from edgeprune.images.quality import quality

sys.path[:0] = [str(Path(__file__).parent)]
zoo_networks = importlib.import_module("zoo_networks")


def main() -> None:
    """Print a line for each network, and write all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of trained networks")
    parser.add_argument("--networks", nargs="+", help="only these")
    parser.add_argument("--count", type=int, default=32, help="images")
    parser.add_argument("--out", type=Path, default=Path("image_kind.json"))
    options = parser.parse_args()
    sys.path.insert(0, str(options.models))
    zoo = importlib.import_module("zoo")
    print(
        "| network | images, σ | white noise, σ | images / noise |\n|---|---|---|---|", flush=True
    )
    results: dict[str, Any] = {}
    for name in options.networks or zoo.TABLE:
        source = zoo_networks.load(zoo, name)
        try:
            found = quality(source, DeadLeaves()(source, options.count, 0))
        except ModelUnsupported:
            print(f"| {name} | – | – | no BatchNorm has stored anything |", flush=True)
            continue
        shift, noise = found.statistics_shift, found.noise_shift
        print(f"| {name} | {shift:.2f} | {noise:.2f} | {shift / noise:.2f} |", flush=True)
        results[name] = {**asdict(found), "of_its_kind": found.of_its_kind}
        options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
