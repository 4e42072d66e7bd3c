"""scikit-learn's handwritten digits as pictures, and a small network that reads them.

Real images and a real training, in a few seconds: what is claimed about accuracy can be held
against figures that are computed here with NumPy and scikit-learn alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MEAN, STD = 0.288, 0.354  # of the pixels, as shares of 255
SHAPE = "1x1x8x8"
WIDTHS = (32, 32, 64, 64)


@dataclass(frozen=True)
class Digits:
    """The trained network with its files.

    ``whole`` holds the module, ``weights`` its state dict, ``factory`` a Python file whose ``make``
    builds the architecture; ``images`` has a sub-folder of test images a class.
    """

    module: nn.Module
    whole: Path
    weights: Path
    factory: Path
    images: Path

    @property
    def flags(self) -> tuple[str, ...]:
        """How the network takes its images."""
        return ("--input", SHAPE, "--mean", str(MEAN), "--std", str(STD))


@cache
def pictures() -> tuple[NDArray[np.uint8], NDArray[np.uint8], Any, Any]:
    """Training and test images (N, 8, 8), then their labels (N,)."""
    images, labels = load_digits(return_X_y=True)
    grey = (images.reshape(-1, 8, 8) * 15).astype(np.uint8)
    return tuple(train_test_split(grey, labels, test_size=0.3, random_state=0, stratify=labels))


def normalised(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the network takes: (N, 1, 8, 8)."""
    return ((grey[:, None] / 255 - MEAN) / STD).astype(np.float32)


def network(widths: tuple[int, ...] = WIDTHS) -> nn.Sequential:
    """Four convolutions with BatchNorm and ReLU, made of ``torch.nn`` alone; random weights."""
    layers: list[nn.Module] = []
    for place, (c_in, c_out) in enumerate(zip((1, *widths), widths, strict=False)):
        stride = 2 if place == 2 else 1
        conv = nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(c_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 10))


def trained(epochs: int = 5) -> nn.Module:
    """The network trained on the training images, in eval mode; the same at every call."""
    grey, _, labels, _ = pictures()
    images, targets = torch.from_numpy(normalised(grey)), torch.from_numpy(labels).long()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = network()
        fit(model, images, targets, epochs)
    return model.eval()


def fit(model: nn.Module, images: Tensor, targets: Tensor, epochs: int) -> None:
    batch = 64
    steps = epochs * (len(images) // batch)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.1, total_steps=steps)
    for _ in range(epochs):
        order = torch.randperm(len(images))
        for chosen in order[: len(order) // batch * batch].split(batch):
            optimiser.zero_grad()
            F.cross_entropy(model(images[chosen]), targets[chosen]).backward()
            optimiser.step()
            schedule.step()


FACTORY = """from torch import nn


def make():
    layers = []
    for place, (c_in, c_out) in enumerate(zip({inputs}, {widths})):
        conv = nn.Conv2d(c_in, c_out, 3, 2 if place == 2 else 1, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(c_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear({last}, 10))
"""


def written(folder: Path) -> Digits:
    """Train, and write the network in every form and the test images into ``folder``."""
    model = trained()
    found = Digits(
        model,
        whole=folder / "digits.pt",
        weights=folder / "digits-weights.pt",
        factory=folder / "digits_factory.py",
        images=folder / "test-images",
    )
    torch.save(model, found.whole)
    torch.save(model.state_dict(), found.weights)
    source = FACTORY.format(inputs=(1, *WIDTHS), widths=WIDTHS, last=WIDTHS[-1])
    found.factory.write_text(source, encoding="utf-8")
    _, grey, _, labels = pictures()
    for place, (pixels, label) in enumerate(zip(grey, labels, strict=True)):
        folder_of_class = found.images / str(label)
        folder_of_class.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder_of_class / f"{place:04}.png")
    return found


def guesses(model: nn.Module) -> NDArray[np.int64]:
    """The classes that the network gives the test images, in their order."""
    with torch.no_grad():
        logits: NDArray[np.float32] = model(torch.from_numpy(normalised(pictures()[1]))).numpy()
    return logits.argmax(1)
