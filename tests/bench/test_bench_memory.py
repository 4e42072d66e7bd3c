"""Memory of real models: what must hold, against tensors counted by hand."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import save
from onnx import TensorProto, helper

from edgeprune import bench

SHAPE = [512, 1024]
TENSOR_BYTES = 4 * 512 * 1024
ALIVE_BYTES = 4 * TENSOR_BYTES
"""Two tensors and both of them in one: the model's own input belongs to who calls it."""


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    """Operators without weights or scratch, none of which can write over its input."""
    return save(
        tmp_path_factory.mktemp("models") / "joined.onnx",
        [
            helper.make_node("Exp", ["x"], ["a"]),
            helper.make_node("Neg", ["x"], ["b"]),
            helper.make_node("Concat", ["a", "b"], ["y"], axis=0),
        ],
        [("x", TensorProto.FLOAT, SHAPE)],
        [("y", TensorProto.FLOAT, [1024, 1024])],
    )


def used(model, *, profile=True, **settings):
    settings = bench.BenchSettings(**settings)
    with bench.start_worker(model, settings, lambda *_: None, warm_up_s=0.0) as worker:
        outputs = worker.outputs(0)
        return SimpleNamespace(ready=worker.ready, last=worker.stop(profile=profile), y=outputs[0])


@pytest.fixture(scope="module")
def plain(joined):
    return used(joined, profile=False)


@pytest.fixture(scope="module")
def profiled(joined):
    return used(joined), used(joined, threads=2, arena=False)


def test_the_profile_is_what_is_alive_at_once_whatever_the_settings(profiled):
    assert [one.last.profile_peak_bytes for one in profiled] == [ALIVE_BYTES] * 2


def test_nothing_is_profiled_unless_asked(plain):
    assert plain.last.profile_peak_bytes is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak cannot be reset")
def test_running_takes_the_tensors_and_a_profile_does_not_count(plain, profiled):
    added = plain.last.run_peak_rss_bytes - plain.ready.idle_rss_bytes
    assert added >= ALIVE_BYTES
    assert abs(profiled[0].last.run_peak_rss_bytes - plain.last.run_peak_rss_bytes) < TENSOR_BYTES


def test_without_an_arena_outputs_are_the_same(plain, profiled):
    np.testing.assert_array_equal(plain.y, profiled[1].y)
