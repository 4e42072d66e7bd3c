"""Sizes that a file leaves open: given, or asked for by name; only the batch is taken as 1."""

import numpy as np
import pytest
from conftest import save
from onnx import TensorProto, helper

from edgeprune import bench
from edgeprune.bench.runtimes import RUNTIMES
from edgeprune.bench.worker.tensors import WrongShape, shape, sized
from edgeprune.cli import main
from edgeprune.costs import count_onnx
from edgeprune.errors import UsageError
from edgeprune.report.files import decode

OPEN = [("x", "float32", ["batch", 3, "height", "width"])]


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    """A convolution 3x3 from 3 to 4 channels, of pictures of any size."""
    kernel = np.random.default_rng(0).standard_normal((4, 3, 3, 3), dtype="f4")
    return save(
        tmp_path_factory.mktemp("models") / "detector.onnx",
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
            helper.make_node("Relu", ["c"], ["y"]),
        ],
        [("x", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [("y", TensorProto.FLOAT, ["batch", 4, "height", "width"])],
        [("w", kernel)],
    )


def test_only_the_batch_is_taken_for_granted():
    assert sized([("x", "float32", ["n", 3])], {}) == [("x", "float32", [1, 3])]
    assert sized([("x", "float32", [""])], {}) == [("x", "float32", [1])]
    with pytest.raises(WrongShape, match=r"--shape x:1x3xheightxwidth .* height and width"):
        sized(OPEN, {})
    with pytest.raises(WrongShape, match="x' is 2xdim1: pass --shape x:2xdim1"):
        sized([("x", "float32", [2, ""])], {})


@pytest.mark.parametrize("name", ["x", ""])
def test_a_given_shape_fills_what_is_open(name):
    assert sized(OPEN, {name: [2, 3, 8, 6]}) == [("x", "float32", [2, 3, 8, 6])]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"image": [1, 3, 8, 8]}, "no such input, but x"),
        ({"x": [1, 4, 8, 8]}, "does not fit: the input is batchx3xheightxwidth"),
        ({"x": [3, 8, 8]}, "does not fit"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(given, complaint):
    with pytest.raises(WrongShape, match=complaint):
        sized(OPEN, given)


def test_one_nameless_shape_does_not_say_which_of_two_inputs():
    with pytest.raises(WrongShape, match="no such input, but x, y"):
        sized([*OPEN, ("y", "float32", [1])], {"": [1, 3, 8, 8]})


@pytest.mark.parametrize("text", ["x:1x3xhxw", "x:", "x:1x3x0x-1", "x", "x:99999999999x1"])
def test_what_is_no_shape_is_refused(text):
    with pytest.raises(WrongShape, match="expected NAME:1x3x640x640"):
        shape(text)


def test_a_name_may_have_colons():
    assert shape("serving:x:0:1x3x8x8") == ("serving:x:0", [1, 3, 8, 8])


def test_bench_asks_for_the_sizes_and_exits_with_2(detector, capsys):
    for files in ([detector], [detector, detector]):
        assert main(["bench", *map(str, files), "--seconds", "0.05"]) == 2
        assert "height and width" in capsys.readouterr().err
    for wrong in ("y:1x3x8x8", "1x4x8x8", "nonsense"):
        assert main(["bench", str(detector), "--shape", wrong, "--seconds", "0.05"]) == 2
        assert "--shape" in capsys.readouterr().err


def test_bench_says_at_which_size_it_measured(detector, tmp_path, capsys):
    written = tmp_path / "bench.json"
    asked = ["--shape", "x:1x3x20x12", "--seconds", "0.05", "--json", str(written)]
    assert main(["bench", str(detector), str(detector), *asked]) == 0
    report = decode(written)
    assert report.environment["shapes"] == {"x": "1x3x20x12"}
    assert any("measured at x:1x3x20x12" in note for note in report.notes)
    assert report.original.macs == 4 * 3 * 9 * 20 * 12
    assert report.parity is not None
    assert report.parity.max_rel_diff == 0
    assert "1x3x20x12" in capsys.readouterr().out


def test_an_open_batch_is_measured_at_1_and_said(tiny, tmp_path):
    written = tmp_path / "bench.json"
    assert main(["bench", str(tiny), "--seconds", "0.05", "--json", str(written), "-q"]) == 0
    assert any("measured at x:1x64" in note for note in decode(written).notes)


@pytest.mark.parametrize("name", ["openvino", "ncnn", "mnn"])
def test_every_runtime_takes_the_shape(name, detector):
    if RUNTIMES[name].installed() is None:
        pytest.skip(f"{name} is not installed")
    given = {"x": (1, 3, 10, 14)}
    with pytest.raises(UsageError, match=r"height and width|dim2 and dim3"):  # OpenVINO: no names
        bench.outputs(detector, bench.BenchSettings(runtime=name))
    (wanted,) = bench.outputs(detector, bench.BenchSettings(shapes=given))
    (got,) = bench.outputs(detector, bench.BenchSettings(runtime=name, shapes=given))
    assert got.shape == wanted.shape == (1, 4, 10, 14)
    np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_costs_are_those_of_the_shape(detector):
    for height, width in ((8, 8), (5, 7)):
        costs = count_onnx(detector, {"x": (1, 3, height, width)})
        assert costs.macs == 4 * 3 * 9 * height * width
        assert costs == count_onnx(detector, {"": (1, 3, height, width)})
