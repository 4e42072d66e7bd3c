"""How far usual normalisations are from what trained networks' first BatchNorms stored.

    python benchmarks/input_normalisation.py --models ZOO

ZOO is a folder with ``zoo.py`` (see ``zoo_networks.py``), whose table says how each network was
trained. The nearest two are shown for each network with a BatchNorm.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import zoo_networks

from edgeprune.loading.input_normalisation import fits


def main() -> None:
    """Print a row for each network."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", type=Path, required=True, help="folder with zoo.py")
    parser.add_argument("--networks", nargs="*", help="[default: all]")
    chosen = parser.parse_args()
    sys.path.insert(0, str(chosen.models.resolve()))
    import zoo

    print("| network | trained with: mean, std | nearest | distance | next | distance |")
    print("|---|---|---|---|---|---|")
    for name in chosen.networks or zoo.TABLE:
        source = zoo_networks.load(zoo, name)
        found = fits(source.module, source.input)
        known = f"{source.input.mean[0]:.3g}, {source.input.std[0]:.3g}"
        nearest = [f"{each.usual.words} | {each.distance:.3f}" for each in found[:2]]
        print(f"| {name} | {known} | {' | '.join(nearest) or 'no BatchNorm | | | '} |")


if __name__ == "__main__":
    main()
