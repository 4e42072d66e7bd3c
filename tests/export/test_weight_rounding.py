"""Roundings of weights: what a layer is laid on, which codes come of it, and when they are kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from onnx import helper
from quantized_zoo import QUICK, TARGET, Pair, pair
from torch.nn import functional

from edgeprune.export import qdq
from edgeprune.export.rounding_for_outputs import ForOutputs, as_filters, from_filters, windows

if TYPE_CHECKING:
    from pathlib import Path

EVERY = 10_000


@pytest.fixture(scope="module")
def nearest(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair("residual", tmp_path_factory.mktemp("nearest"))


def again(made: Pair, folder: Path, rounding: object) -> Pair:
    quantize = replace(QUICK, weight_rounding=rounding)
    return Pair(
        made.source,
        made.exported,
        quantize(made.source, made.exported, TARGET, folder / "again.onnx"),
    )


@pytest.mark.parametrize(
    ("groups", "stride", "dilation", "pads"),
    [
        (1, 1, 1, (1, 1, 1, 1)),
        (2, 2, 1, (0, 0, 1, 1)),
        (6, 1, 2, (2, 2, 2, 2)),
        (3, 2, 1, (0,) * 4),
    ],
)
def test_filters_laid_on_their_windows_give_what_a_convolution_gives(
    groups, stride, dilation, pads
):
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(1, 6, 9, 8, generator=draw)
    weight = torch.randn(12, 6 // groups, 3, 3, generator=draw)
    node = helper.make_node(
        "Conv", ["x", "w"], ["y"], group=groups, strides=[stride] * 2, dilations=[dilation] * 2,
        pads=pads, kernel_shape=[3, 3],
    )  # fmt: skip
    top, left, bottom, right = pads
    padded = functional.pad(values, (left, right, top, bottom))
    wanted = functional.conv2d(padded, weight, stride=stride, dilation=dilation, groups=groups)
    laid = windows(values.numpy(), node, weight.numpy(), EVERY)
    filters = as_filters(weight.numpy(), node).reshape(groups, 12 // groups, -1)
    got = np.matmul(filters, laid).reshape(wanted.shape)
    np.testing.assert_allclose(got, wanted.numpy(), atol=1e-5)


@pytest.mark.parametrize("transposed", [0, 1])
def test_rows_of_a_product_are_its_windows(transposed):
    draw = np.random.default_rng(0)
    values, weight = draw.standard_normal((1, 5)), draw.standard_normal((5, 3))
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=transposed)
    stored = weight.T if transposed else weight
    laid = windows(values, node, stored, EVERY)
    np.testing.assert_allclose(as_filters(stored, node) @ laid[0], (values @ weight).T)
    np.testing.assert_array_equal(
        from_filters(as_filters(stored, node), stored.shape, node), stored
    )


def test_few_windows_are_spread_over_the_map():
    values = np.arange(100, dtype=np.float32).reshape(1, 1, 10, 10)
    node = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[1, 1])
    assert windows(values, node, np.ones((1, 1, 1, 1)), 3)[0, 0].tolist() == [0, 49, 99]


def test_rounding_for_outputs_makes_a_truer_file_of_neighbouring_codes(
    nearest: Pair, tmp_path: Path
) -> None:
    made = again(nearest, tmp_path, ForOutputs())
    assert made.quantized.rounding == "for outputs"
    assert nearest.quantized.rounding == "nearest"
    before, after = (each.quantized.fidelity.relative_error for each in (nearest, made))
    assert after < before
    moved = 0
    for layer in qdq.weight_codes(made.after, made.before):
        exact = layer.values / layer.scale
        assert np.abs(layer.codes - exact).max() < 1.0001
        moved += int((np.abs(layer.codes - exact) > 0.5001).sum())
    assert moved > 0


class OtherNeighbour:
    """Rounds all weights of every second layer to the other neighbour, which is worse."""

    def __call__(self, layers, activations):
        self.read = [next(iter(activations([layer.reads])))[layer.reads] for layer in layers]
        exact = {layer.node: layer.values / layer.scale for layer in layers[::2]}
        return {
            node: np.where(np.rint(e) > e, np.floor(e), np.ceil(e)).clip(-127, 127)
            for node, e in exact.items()
        }


def test_a_rounding_of_ones_own_is_given_what_layers_read_and_dropped_where_it_is_worse(
    nearest: Pair, tmp_path: Path
) -> None:
    rounding = OtherNeighbour()
    made = again(nearest, tmp_path, rounding)
    layers = list(qdq.weight_codes(made.after, made.before))
    assert len(rounding.read) == len(layers)
    assert all(read.shape[1] == each.values.shape[1] or each.values.shape[1] == 1
               for read, each in zip(rounding.read, layers, strict=True))  # fmt: skip
    assert made.quantized.rounding == "nearest"
    assert max(np.abs(each.codes - each.values / each.scale).max() for each in layers) < 0.5001
