"""Files for PyTorch's own runtimes: proved, whole, and runnable by their adapters."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
import zoo

from edgeprune import bench
from edgeprune.errors import DeviceFailed, UsageError, VerificationFailed
from edgeprune.export import TARGETS, OnnxTarget
from edgeprune.export.torch_program import TorchTarget
from edgeprune.loading import wrap

HAS_EXECUTORCH = importlib.util.find_spec("executorch") is not None


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return wrap(zoo.build("chain"), zoo.INPUT_SHAPE)


@pytest.fixture(scope="module")
def reference(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    OnnxTarget(simplify=False)(network.module, network.input, path, {})
    return bench.outputs(path, bench.BenchSettings(), seed=2)


@pytest.mark.parametrize("name", ["torch", "executorch"])
def test_a_program_computes_what_the_onnx_file_does(name, network, reference, tmp_path):
    if name == "executorch" and not HAS_EXECUTORCH:
        pytest.skip("executorch is not installed")
    target = TARGETS[name]()
    path = tmp_path / f"net{target.suffix}"
    exported = target(network.module, network.input, path, {"source_name": "chain"})
    assert (exported.path, exported.opset, exported.bytes) == (path, None, path.stat().st_size)
    assert list(tmp_path.iterdir()) == [path]
    found = bench.outputs(path, bench.BenchSettings(runtime=name), seed=2)
    for wanted, got in zip(reference, found, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5 * np.abs(wanted).max())


class Doubling(TorchTarget):
    """What its files compute is not what it was given."""

    def runner(self, path):
        run = super().runner(path)
        return lambda names, feed: [2 * output for output in run(names, feed)]


def test_a_program_that_computes_something_else_leaves_no_file(network, tmp_path):
    with pytest.raises(VerificationFailed, match="is not PyTorch's"):
        Doubling()(network.module, network.input, tmp_path / "net.pt2", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(HAS_EXECUTORCH, reason="executorch is installed")
def test_without_executorch_the_error_says_what_to_type(network, tmp_path):
    with pytest.raises(DeviceFailed, match=r"pip install 'edgeprune\[executorch\]'"):
        TARGETS["executorch"]()(network.module, network.input, tmp_path / "net.pte", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["torch", "executorch"])
@pytest.mark.parametrize("asked", [{"opset": 18}, {"dynamic_batch": True}])
def test_what_only_onnx_has_is_refused(name, asked):
    with pytest.raises(UsageError, match="for --target onnx"):
        TARGETS[name](**asked)
