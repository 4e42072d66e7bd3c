"""Subnormal weights leave no ONNX file: they make CPUs slow and add nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
import zoo
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import numpy_helper

import edgeprune as ep
from edgeprune.artifacts import InputSpec
from edgeprune.errors import ModelUnsupported
from edgeprune.export.subnormals import flush_subnormals

if TYPE_CHECKING:
    from pathlib import Path

TINY = np.finfo(np.float32).tiny
SMALL = float(np.float32(1e-37))
FLOATS = st.floats(width=32) | st.floats(-SMALL, SMALL, width=32)


@given(arrays(np.float32, (7,), elements=FLOATS))
def test_only_subnormal_numbers_change(values: np.ndarray) -> None:
    whole = numpy_helper.from_array(np.array([1, 0], np.int64), "whole")
    graph = onnx.GraphProto(initializer=[numpy_helper.from_array(values, "w"), whole])
    subnormal = (np.abs(values) < TINY) & (values != 0)
    assert flush_subnormals(graph) == subnormal.sum()
    flushed = numpy_helper.to_array(graph.initializer[0])
    np.testing.assert_array_equal(flushed[~subnormal], values[~subnormal])
    assert not flushed[subnormal].any()
    assert graph.initializer[1] == whole


def test_an_exported_file_holds_none_and_the_count_is_told(tmp_path: Path) -> None:
    network = zoo.build("no-norm")
    with torch.no_grad():
        network[0].weight[:5] *= 1e-39
        network[0].bias[:5] = 0
    target = ep.OnnxTarget(opset=17)
    exported = target(network, InputSpec((zoo.INPUT_SHAPE,)), tmp_path / "n.onnx", {})
    tensors = [numpy_helper.to_array(t) for t in onnx.load(exported.path).graph.initializer]
    small = sum(int(((np.abs(t) < TINY) & (t != 0)).sum()) for t in tensors)
    assert small == 0
    assert exported.flushed > 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("tensor", ["0.0.weight", "1.1.bias"])
def test_a_weight_that_is_no_number_is_named(value: float, tensor: str) -> None:
    network = zoo.build("chain")
    with torch.no_grad():
        network.get_parameter(tensor).view(-1)[0] = value
    with pytest.raises(ModelUnsupported, match=f"'{tensor}' holds (NaN|infinite values)"):
        ep.wrap(network, zoo.INPUT_SHAPE)
