"""Tensors lie in memory as it is safe to train on: on a CPU in the default layout, always."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import zoo

from edgeprune.training.layout import by_channel, inputs_on_device, layout_of, on_device

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["inverted-residual", "transposed", "functional"])
def test_on_a_cpu_every_tensor_is_contiguous_whatever_was_given(name: str) -> None:
    network = zoo.build(name).to(memory_format=torch.channels_last)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    after = on_device(network, CPU).state_dict()
    assert all(value.is_contiguous() for value in after.values())
    assert all(torch.equal(after[key], before[key]) for key in before)
    images = torch.rand(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    laid_out = inputs_on_device(images, CPU)
    assert laid_out.is_contiguous()
    assert torch.equal(laid_out, images)


def test_accelerators_get_channels_last_and_give_networks_back_in_the_default_layout() -> None:
    assert layout_of(torch.device("cuda")) == torch.channels_last
    network = zoo.build("residual").to(memory_format=torch.channels_last)
    assert all(p.is_contiguous() for p in by_channel(network).parameters())


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5, 6)])
def test_what_is_no_image_stays_as_it_is(shape: tuple[int, ...]) -> None:
    given = torch.rand(shape)
    assert torch.equal(inputs_on_device(given, CPU), given)


GREY = """
import torch
from torch import nn
import edgeprune as ep

class Block(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.deep = nn.Sequential(
            nn.Conv2d(c_in, c_in, 3, padding=1, groups=c_in), nn.Conv2d(c_in, c_out, 1),
            nn.BatchNorm2d(c_out), nn.ReLU(), nn.Conv2d(c_out, c_out, 3, padding=1),
            nn.BatchNorm2d(c_out), nn.MaxPool2d(3, 2, 1))
        self.short = nn.Sequential(nn.Conv2d(c_in, c_out, 1, 2), nn.BatchNorm2d(c_out))
    def forward(self, x):
        return self.deep(x) + self.short(x)

torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), Block(8, 16), Block(16, 32),
                    Block(32, 64), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 5)).train()
with torch.no_grad():
    for _ in range(5):
        net(torch.rand(16, 1, 48, 48))
training = ep.Supervise(images=128, steps=12)
config = ep.CompressConfig(recover=(training,), bench=None, target=None)
report = ep.compress(net.eval(), (1, 1, 48, 48), config)
print(report.compressed.recovered_by[-1].curve[-1][0])
"""


def test_a_separable_network_on_grey_images_is_trained_to_the_end() -> None:
    ran = subprocess.run([sys.executable, "-c", GREY], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.strip()) == (0, "12"), ran.stderr
