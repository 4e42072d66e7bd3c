"""What each of several processes does in ``test_torchrun.py``; not a test itself.

Run by ``torchrun`` with the folder to write to; also imported, so that one process does the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

import edgeprune as ep
from edgeprune import training

EACH = 8


def compressed(batch: int, directory: Path) -> ep.CompressionReport:
    """A small network, trained on features for some steps."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    layers += [nn.Conv2d(8, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten()]
    network = nn.Sequential(*layers, nn.Linear(8, 5)).eval()
    method = ep.Supervise(steps=12, images=48, batch=batch)
    config = ep.CompressConfig(recover=(method,), target=None, bench=None)
    return ep.compress(network, (1, 3, 8, 8), config, directory=directory)


def main(folder: Path) -> None:
    rank = training.join().rank
    report = compressed(EACH, folder / "run")
    files = sorted(path.name for path in report.directory.iterdir())
    found = {
        "weights": report.compressed.module.state_dict(),
        "directory": str(report.directory),
        "files": files,
    }
    torch.save(found, folder / f"rank{rank}.pt")
    training.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
