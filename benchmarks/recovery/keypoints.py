"""A keypoint network without any public data set: trained here, on images that are rendered.

On each image dead leaves are the background, and some fall on top; between them lies a figure of
four joints, in random pose, size, colour and light. The network finds the joints by heat maps, one
a joint: an encoder and decoder with residual blocks and BatchNorm.

    python benchmarks/recovery/keypoints.py --out keypoints.pt

trains it in some minutes on one core; ``table.py --keypoints keypoints.pt`` then recovers it. It
stands for tasks without classes. Dead leaves are also what the product draws by default, but only
these images have figures on them.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeprune.artifacts import InputSpec, SourceModel
from edgeprune.images.procedural import DeadLeaves

SIDE = 64
MAP = 32  # side of the heat maps
JOINTS = 4
NEAR = 0.05  # of the side: how far off a joint may be found
SPREAD = 1.0  # standard deviation of the wanted spot, in cells of the map
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
COLOURS = torch.tensor([[0.9, 0.15, 0.1], [0.1, 0.7, 0.15], [0.1, 0.2, 0.9], [0.9, 0.8, 0.1]])
STEPS, BATCH, RATE = 500, 32, 3e-3
TRAINING, HELD_OUT, UNLABELLED = 1, 2, 3  # seeds of the renderings


def render(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw figures.

    Returns:
        Images (N, 3, 64, 64), normalised; where the joints are, (N, 4, 2), rows and columns in
        pixels.
    """
    draw = torch.Generator().manual_seed(seed)
    ground, leaves = (_leaves(count, 2 * seed + place) for place in (0, 1))
    joints = _poses(count, draw)
    colours = COLOURS + 0.08 * torch.randn(count, JOINTS, 3, generator=draw)
    light = 0.55 + 0.6 * torch.rand(count, 1, 1, generator=draw)
    size = 2.0 + 1.5 * torch.rand(count, 1, generator=draw)
    body = torch.rand(count, 3, generator=draw)
    pixels = _laid(ground, light[:, 0] * body, _inside(joints))
    for joint in range(JOINTS):
        disc = size[:, :, None] - _distance(joints[:, joint])
        pixels = _laid(pixels, light[:, 0] * colours[:, joint], disc)
    for _ in range(2):
        centre = SIDE * torch.rand(count, 2, generator=draw)
        radius = torch.where(torch.rand(count, generator=draw) < 0.6, 5.0, 0.0)
        pixels = _laid(pixels, leaves, radius[:, None, None] - 0.5 - _distance(centre))
    pixels = pixels + 0.02 * torch.randn(pixels.shape, generator=draw)
    mean, std = (torch.tensor(each)[:, None, None] for each in (MEAN, STD))
    return (pixels.clamp(0, 1) - mean) / std, joints


def pck(maps: np.ndarray, truth: list[np.ndarray]) -> float:
    """Share of joints found within 5 % of the image's side, in percent.

    Args:
        maps: Heat maps, (N, 4, 32, 32).
        truth: Where each image's joints are, (4, 2).
    """
    gap = found(torch.from_numpy(maps)) - torch.from_numpy(np.stack(truth))
    return 100 * float((gap.norm(dim=2) <= NEAR * SIDE).float().mean())


def found(maps: Tensor) -> Tensor:
    """Where heat maps (N, 4, 32, 32) say that the joints are, (N, 4, 2), in pixels."""
    place = maps.flatten(2).argmax(2)
    row, column = place // MAP, place % MAP
    return (torch.stack([row, column], 2) + 0.5) * (SIDE / MAP)


class Residual(nn.Module):
    """Two convolutions and what goes past them."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *_conv(c_in, c_out, stride), nn.Conv2d(c_out, c_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
        )  # fmt: skip
        self.past: nn.Module = nn.Identity()
        if stride > 1 or c_in != c_out:
            past = nn.Conv2d(c_in, c_out, 1, stride, bias=False)
            self.past = nn.Sequential(past, nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.branch(x) + self.past(x))


class Keypoints(nn.Module):
    """Images (N, 3, 64, 64) to heat maps (N, 4, 32, 32)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_conv(3, 24, 2))
        self.fine = Residual(24, 24)
        self.middle = Residual(24, 48, 2)
        self.coarse = nn.Sequential(Residual(48, 64, 2), Residual(64, 64))
        self.up_middle = nn.Sequential(*_conv(64, 48))
        self.up_fine = nn.Sequential(*_conv(48, 24))
        self.head = nn.Sequential(*_conv(24, 24), nn.Conv2d(24, JOINTS, 1))

    def forward(self, x: Tensor) -> Tensor:
        fine = self.fine(self.stem(x))
        middle = self.middle(fine)
        deep = middle + self.up_middle(_doubled(self.coarse(middle)))
        return self.head(fine + self.up_fine(_doubled(deep)))


def train(images: Tensor, joints: Tensor, steps: int, seed: int) -> nn.Module:
    """Fit heat maps; in eval mode."""
    torch.manual_seed(seed)
    network = Keypoints()
    wanted = _spots(joints)
    adam = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-2)
    cycle = torch.optim.lr_scheduler.OneCycleLR(adam, RATE, total_steps=steps)
    for step in range(steps):
        some = torch.randint(len(images), (BATCH,))
        shown, spots = images[some], wanted[some]
        if step % 2:
            shown, spots = shown.flip(3), spots.flip(3)
        loss = F.mse_loss(network(shown), spots)
        adam.zero_grad()
        loss.backward()
        adam.step()
        cycle.step()
        if step % 100 == 0:
            print(f"step {step}/{steps}, loss {loss:.4f}", file=sys.stderr, flush=True)
    return network.eval()


def _conv(c_in: int, c_out: int, stride: int = 1) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)
    return conv, nn.BatchNorm2d(c_out), nn.ReLU()


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _poses(count: int, draw: torch.Generator) -> Tensor:
    """Joints (N, 4, 2) around a centre, in turn, each bent and stretched by itself."""
    turn = 2 * math.pi * torch.rand(count, 1, generator=draw)
    bend = 0.5 * (torch.rand(count, JOINTS, generator=draw) - 0.5)
    angle = turn + bend + math.pi / 2 * torch.arange(JOINTS)
    reach = 9 + 9 * torch.rand(count, 1, generator=draw)
    reach = reach * (0.6 + 0.4 * torch.rand(count, JOINTS, generator=draw))
    centre = 20 + (SIDE - 40) * torch.rand(count, 1, 2, generator=draw)
    return centre + reach[..., None] * torch.stack([angle.sin(), angle.cos()], 2)


def _inside(joints: Tensor) -> Tensor:
    """How far each pixel is inside the polygon of joints (N, 4, 2): (N, 64, 64), in pixels."""
    centre = joints.mean(1)
    depth = [
        _depth(torch.stack([centre, joints[:, at], joints[:, (at + 1) % JOINTS]], 1))
        for at in range(JOINTS)
    ]
    return torch.stack(depth).amax(0) + 0.5  # neighbours overlap by as much, without a seam


def _depth(triangle: Tensor) -> Tensor:
    """How far each pixel is inside triangles (N, 3, 2), negative outside: (N, 64, 64)."""
    rows, columns = _grid()
    sides = []
    for at in range(3):
        first, second, third = (triangle[:, (at + k) % 3, :, None, None] for k in range(3))
        along = (second - first) / (second - first).norm(dim=1, keepdim=True).clamp_min(1e-6)
        across = along.flip(1) * torch.tensor([1.0, -1.0])[:, None, None]
        way = (across * (third - first)).sum(1).sign()
        sides.append(
            way * (across[:, 0] * (rows - first[:, 0]) + across[:, 1] * (columns - first[:, 1]))
        )
    return torch.stack(sides).amin(0)


def _laid(pixels: Tensor, paint: Tensor, depth: Tensor) -> Tensor:
    """Paint, a colour (N, 3) or images, on top where ``depth`` (N, 64, 64) is positive."""
    cover = (depth + 0.5).clamp(0, 1)[:, None]
    return pixels + cover * (paint.view(len(pixels), 3, *(paint.shape[2:] or (1, 1))) - pixels)


def _distance(centre: Tensor) -> Tensor:
    """From points (N, 2) to each pixel, (N, 64, 64)."""
    rows, columns = _grid()
    return torch.hypot(rows - centre[:, :1, None], columns - centre[:, 1:, None])


def _grid() -> tuple[Tensor, Tensor]:
    places = torch.arange(SIDE) + 0.5
    return places[:, None], places[None]


def _spots(joints: Tensor) -> Tensor:
    """The heat maps that are wanted, (N, 4, 32, 32)."""
    places = torch.arange(MAP) + 0.5
    cells = joints * (MAP / SIDE)
    rows, columns = ((places - cells[..., axis, None]).square() for axis in (0, 1))
    return (-(rows[..., :, None] + columns[..., None, :]) / (2 * SPREAD**2)).exp()


def _leaves(count: int, seed: int) -> Tensor:
    """Images of dead leaves, (N, 3, 64, 64), black 0 and white 1."""
    spec = InputSpec(((1, 3, SIDE, SIDE),), (0.0,) * 3, (1.0,) * 3)
    return DeadLeaves()(SourceModel(nn.Identity(), spec, "", ""), count, seed)[0]


def main() -> None:
    """Train, save, and print the score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4096, help="to train on")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--held-out", type=int, default=500, help="images that score the network")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--out", type=Path, default=Path("keypoints.pt"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    start = time.perf_counter()
    images, joints = render(options.images, TRAINING)
    print(f"{options.images} images in {time.perf_counter() - start:.0f} s", file=sys.stderr)
    network = train(images, joints, options.steps, seed=0)
    torch.save(network.state_dict(), options.out)
    shown, truth = render(options.held_out, HELD_OUT)
    with torch.no_grad():
        score = pck(network(shown).numpy(), list(truth.numpy()))
    params = sum(each.numel() for each in network.parameters())
    print(f"{params:,} parameters, PCK@{NEAR} {score:.1f} %, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
