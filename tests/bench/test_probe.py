"""The block of channels that kernels compute at once."""

import math

import onnx
import pytest

from edgeprune.bench import BenchSettings, probe
from edgeprune.errors import DeviceFailed


@pytest.mark.parametrize("block", [1, 4, 8, 16, 32])
def test_the_block_of_kernels_that_round_up_is_found(block):
    def cost(width: int) -> float:
        rounded = math.ceil(width / block) * block
        return 2.0 + rounded**2

    assert probe.block_of(cost) == block


def test_noise_of_a_tenth_changes_nothing():
    noise = iter([1.0, 1.05, 0.95, 1.05, 1.0, 1.0])
    assert probe.block_of(lambda width: next(noise) * math.ceil(width / 16) ** 2) == 16


def test_the_file_is_a_network_of_that_width():
    model = onnx.load_from_string(probe.convolution(12))
    onnx.checker.check_model(model, full_check=True)
    assert [list(each.dims) for each in model.graph.initializer] == [[12, 12, 3, 3]] * 2


def test_what_cannot_be_measured_has_no_block(monkeypatch):
    def fails(*_: object, **__: object) -> None:
        raise DeviceFailed("no such board")

    monkeypatch.setattr(probe.bench, "start_worker", fails)
    assert probe.channel_block(BenchSettings()) == 1


def test_a_real_runtime_has_one():
    assert probe.channel_block(BenchSettings(seconds=5)) in (1, *probe.BLOCKS)
