"""Padding that keeps the size is written as a number, so that the file runs at every opset."""

from __future__ import annotations

import onnx
import pytest
import torch
from torch import nn

from edgeprune.artifacts import InputSpec
from edgeprune.errors import ModelUnsupported
from edgeprune.export import OnnxTarget


@pytest.mark.parametrize(("kernel", "dilation"), [(3, 2), (4, 1), ((2, 5), (3, 1))])
def test_same_padding_is_explicit_and_computes_the_same(kernel, dilation, tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, kernel, padding="same", dilation=dilation), nn.ReLU())
    exported = OnnxTarget(opset=17)(net, InputSpec(((1, 3, 9, 11),)), tmp_path / "a.onnx", {})
    nodes = onnx.load(exported.path).graph.node
    assert not [a for n in nodes for a in n.attribute if a.name == "auto_pad" and a.s != b"NOTSET"]
    assert exported.parity.max_rel_diff < 1e-5


class Spectrum(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.hann_window(16))
        self.conv = nn.Conv2d(1, 4, 3, padding=1)

    def forward(self, wave):
        spectrum = torch.stft(wave, 16, 8, window=self.window, return_complex=True)
        return self.conv(spectrum.abs()[:, None])


def test_what_an_old_opset_lacks_asks_for_a_newer_one(tmp_path):
    with pytest.raises(ModelUnsupported, match=r"newer opset \(18 and up\), or leave --opset out"):
        OnnxTarget(opset=17)(Spectrum(), InputSpec(((1, 128),)), tmp_path / "a.onnx", {})
