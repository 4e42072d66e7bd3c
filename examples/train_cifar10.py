"""Train the example network, a small residual CNN for CIFAR-10, from folders of images.

    python examples/train_cifar10.py --train cifar10/train --test cifar10/test \\
        --out examples/cifar10_resnet.pt

Both folders hold one sub-folder a class. The network is made of classes that edgeprune loads
without --allow (``torch.nn`` and torchvision's residual block), and carries an
``example_input_array`` as Lightning's modules do, from which its input shape is read.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.datasets import ImageFolder
from torchvision.models.resnet import BasicBlock
from torchvision.transforms.functional import normalize, pil_to_tensor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def build(classes: int = 10, width: int = 32) -> nn.Sequential:
    """Stem and three residual stages of 32, 64, 128 channels at 32x32, 16x16 and 8x8 pixels."""
    network = nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        BasicBlock(width, width),
        BasicBlock(width, 2 * width, 2, projection(width, 2 * width)),
        BasicBlock(2 * width, 4 * width, 2, projection(2 * width, 4 * width)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, classes),
    )
    network.example_input_array = torch.zeros(1, 3, 32, 32)
    return network


def projection(c_in: int, c_out: int) -> nn.Sequential:
    """Shortcut of a block that halves the resolution."""
    return nn.Sequential(nn.Conv2d(c_in, c_out, 1, 2, bias=False), nn.BatchNorm2d(c_out))


def read(folder: Path) -> tuple[Tensor, Tensor]:
    """Read all images, normalised (N, 3, H, W), and their class indices (N,)."""
    dataset = ImageFolder(str(folder))
    pixels = torch.stack([pil_to_tensor(image) for image, _ in dataset])
    labels = torch.tensor(dataset.targets)
    return normalize(pixels.float() / 255, MEAN, STD), labels


def augment(images: Tensor, generator: torch.Generator, pad: int = 4) -> Tensor:
    """Flip half of the images and shift each by up to ``pad`` pixels."""
    count, _, height, width = images.shape
    flip = torch.rand(count, generator=generator) < 0.5
    images = torch.where(flip[:, None, None, None], images.flip(3), images)
    padded = F.pad(images, [pad] * 4, mode="reflect")
    top, left = torch.randint(0, 2 * pad + 1, (2, count), generator=generator)
    rows = (top[:, None] + torch.arange(height))[:, :, None]
    columns = (left[:, None] + torch.arange(width))[:, None, :]
    shifted = padded.permute(0, 2, 3, 1)[torch.arange(count)[:, None, None], rows, columns]
    return shifted.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of images classified as labelled."""
    network.eval()
    hits = [
        (network(x).argmax(1) == y).sum()
        for x, y in zip(images.split(250), labels.split(250), strict=True)
    ]
    return float(sum(hits)) / len(labels)


def train(network: nn.Module, images: Tensor, labels: Tensor, epochs: int, seed: int) -> None:
    """SGD with one learning-rate cycle, batches of 128, smoothed labels."""
    generator = torch.Generator().manual_seed(seed)
    steps = -(-len(images) // 128)
    optimiser = torch.optim.SGD(
        network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.2, total_steps=epochs * steps)
    for epoch in range(epochs):
        network.train()
        start, total = time.perf_counter(), 0.0
        for batch in torch.randperm(len(images), generator=generator).split(128):
            optimiser.zero_grad()
            logits = network(augment(images[batch], generator))
            loss = F.cross_entropy(logits, labels[batch], label_smoothing=0.1)
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(batch)
        seconds = time.perf_counter() - start
        print(f"epoch {epoch + 1}/{epochs}  loss {total / len(images):.3f}  {seconds:.0f} s")


def main() -> None:
    """Train, score on the test folder, save the whole module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    network = build().to(memory_format=torch.channels_last)
    train(network, *read(options.train), options.epochs, options.seed)
    print(f"test accuracy {accuracy(network, *read(options.test)):.1%}")
    torch.save(network.to(memory_format=torch.contiguous_format).eval(), options.out)


if __name__ == "__main__":
    main()
