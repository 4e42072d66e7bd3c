"""What one could do instead is exported, measured and judged like the compressed network."""

from types import SimpleNamespace

import pytest
import torch
import zoo
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import edgeprune as ep
from edgeprune import costs
from edgeprune.artifacts import RatioInterval
from edgeprune.bench import instructions
from edgeprune.images.shrunk import Shrunk
from edgeprune.pipeline.alternatives import COARSE, FINE, alternatives, sizes
from edgeprune.pipeline.export_and_measure import export_original
from edgeprune.pipeline.stage_log import StageLog


@given(height=st.integers(8, 512), width=st.integers(8, 512), share=st.floats(0.05, 2.0))
def test_sizes_are_smaller_and_multiples_and_start_near_the_share(height, width, share):
    found = list(sizes((height, width), share))
    step = COARSE if min(height, width) >= 96 else FINE
    assert all(h % step == 0 and w % step == 0 and h < height for h, w in found)
    assert [h for h, _ in found] == sorted({h for h, _ in found}, reverse=True)
    if found and share < 1 and step <= height * share**0.5:
        assert abs(found[0][0] - height * share**0.5) <= step


def test_a_network_shown_smaller_images_sees_them_antialiased():
    seen = []

    class Sees(nn.Module):
        def forward(self, images):
            seen.append(images)
            return images.mean((2, 3))

    stripes = torch.tensor([0.0, 1.0]).repeat(8).expand(2, 3, 16, 16)
    Shrunk(Sees(), (8, 8))(stripes)
    assert seen[0].shape == (2, 3, 8, 8)
    assert seen[0][..., 1:-1].std() < 0.1  # without antialiasing stripes would stay


@pytest.fixture
def by_macs(monkeypatch):
    """Latency is the share of MACs, and 8 bits take half."""

    def compare(original, other, settings, progress):
        whole, left = (costs.count_onnx(path).macs for path in (original, other))
        share = left / whole * (0.5 if "int8" in other.name else 1.0)
        return SimpleNamespace(ratio=RatioInterval(share, share, share, 0.95))

    monkeypatch.setattr(instructions, "comparing_on", lambda device: compare)


def found_for(network, folder, **settings):
    """The alternatives of a network that was compressed to 0.6 of its latency."""
    config = ep.CompressConfig(recover="none", **settings)
    source, log = ep.wrap(network, zoo.INPUT_SHAPE), StageLog()
    original = export_original(source, config, folder, StageLog())
    found = SimpleNamespace(ratio=RatioInterval(0.6, 0.6, 0.6, 0.95))
    images = SimpleNamespace(labelled=None, unlabelled=None)
    return alternatives(source, original, found, images, config, log), log


def test_a_smaller_image_and_int8_are_measured(by_macs, tmp_path):
    network = zoo.calibrated(zoo.build("residual"), torch.randn(16, 3, 16, 16))
    (smaller, int8), log = found_for(network, tmp_path)
    assert (smaller.kind, smaller.detail) == ("smaller image", "12x12 pixels")
    assert smaller.latency.value == pytest.approx(144 / 256, rel=0.1)
    assert smaller.bytes == pytest.approx(1, abs=0.01)
    assert smaller.outputs is None
    assert int8.kind == "int8 alone"
    assert int8.latency.value == pytest.approx(0.5)
    assert int8.bytes < 0.7
    assert 0.5 < int8.outputs <= 1
    assert log.records[-1].detail == ""


def test_a_network_of_one_size_has_no_smaller_image(by_macs, tmp_path):
    found, log = found_for(zoo.build("flatten"), tmp_path)
    assert [each.kind for each in found] == ["int8 alone"]
    assert log.records[-1].detail


def test_nothing_is_measured_that_was_not_asked_for(tmp_path):
    found, log = found_for(zoo.build("chain"), tmp_path, alternatives=False)
    assert found == ()
    assert log.records[-1].status == "skipped"
