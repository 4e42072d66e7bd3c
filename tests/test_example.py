"""The example that the README compresses, and the script that trained it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from edgeprune.loading import load

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_the_example_needs_no_flags() -> None:
    source = load(EXAMPLES / "cifar10_resnet.pt")
    assert source.input.shapes == ((1, 3, 32, 32),)
    with torch.no_grad():
        assert source.module(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_the_script_trains_the_network_of_the_example(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in map(str, range(10)):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for number in range(2):
                pixels = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    flags = ["--train", "train", "--test", "test", "--out", "trained.pt", "--epochs", "1"]
    script = [sys.executable, str(EXAMPLES / "train_cifar10.py"), *flags]
    ran = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "test accuracy" in ran.stdout
    ours, example = load(tmp_path / "trained.pt"), load(EXAMPLES / "cifar10_resnet.pt")
    shapes = [
        {name: value.shape for name, value in source.module.state_dict().items()}
        for source in (ours, example)
    ]
    assert shapes[0] == shapes[1]
