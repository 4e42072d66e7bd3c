"""Weights in fewer bits: what is stored, what a runtime makes of it, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import pytest
import quantized_zoo
from onnx import helper, numpy_helper

from edgeprune.errors import UsageError, VerificationFailed
from edgeprune.export import OnnxTarget
from edgeprune.export.decoded_weights import (
    check_codes,
    check_halves,
    nearest_codes,
    with_halves,
    with_stored_codes,
)
from edgeprune.export.rounding_for_outputs import ForOutputs
from edgeprune.export.store_weights import StoreWeights, four_bit_target
from edgeprune.export.weight_rounding import Nearest
from edgeprune.images.procedural import DeadLeaves

if TYPE_CHECKING:
    from pathlib import Path

TARGET = OnnxTarget(opset=21, simplify=False)
QUICK = StoreWeights("int4", count=24, held_out=16, weight_rounding=Nearest())


@pytest.fixture(scope="module")
def float_pair(tmp_path_factory: pytest.TempPathFactory):
    """A network and its float file."""
    folder = tmp_path_factory.mktemp("stored")
    source = quantized_zoo.source("residual")
    return source, TARGET(source.module, source.input, folder / "f.onnx", {"source_name": "r"})


def stored(float_pair, folder: Path, store: StoreWeights):
    source, exported = float_pair
    return store(source, exported, TARGET, folder / "small.onnx")


def outputs(path: Path, inputs: np.ndarray, folded: Path | None = None) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if folded:
        options.optimized_model_filepath = str(folded)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    session = onnxruntime.InferenceSession(path, options)
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: one[None]})[0] for one in inputs])


@pytest.mark.parametrize(("precision", "size", "error"), [("fp16", 0.62, 2e-3), ("int4", 0.4, 0.5)])
def test_the_file_is_smaller_and_runs_the_float_files_kernels(
    float_pair, tmp_path: Path, precision: str, size: float, error: float
) -> None:
    source, exported = float_pair
    made = stored(float_pair, tmp_path, replace(QUICK, precision=precision))
    assert made.bytes == made.path.stat().st_size < size * exported.bytes
    inputs = DeadLeaves()(source, 4, 5)[0].numpy()
    wanted = outputs(exported.path, inputs)
    got = outputs(made.path, inputs, tmp_path / "folded.onnx")
    assert np.linalg.norm(got - wanted) < error * np.linalg.norm(wanted)
    before, after = (
        sorted(node.op_type for node in onnx.load(path).graph.node)
        for path in (exported.path, tmp_path / "folded.onnx")
    )
    assert {"Cast", "Mul"}.isdisjoint(after)
    assert after.count("Conv") == before.count("Conv")
    assert made.activations == "float"
    about = {each.key: each.value for each in onnx.load(made.path).metadata_props}
    assert about["source_name"] == "r"
    assert about["precision"] == f"{precision} weights, computed in float32"


def test_every_half_is_the_nearest_to_its_weight(float_pair, tmp_path: Path) -> None:
    made = onnx.load(stored(float_pair, tmp_path, replace(QUICK, precision="fp16")).path)
    floats = {
        t.name: numpy_helper.to_array(t) for t in onnx.load(float_pair[1].path).graph.initializer
    }
    halves = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}
    found = [name for name in halves if name.endswith("_half")]
    assert found
    for name in found:
        np.testing.assert_array_equal(halves[name], floats[name.removesuffix("_half")].astype("f2"))


def test_weights_beyond_the_range_of_a_half_stay_as_they_are(float_pair) -> None:
    model = onnx.load(float_pair[1].path)
    weight = next(t for t in model.graph.initializer if len(t.dims) == 4)
    values = numpy_helper.to_array(weight).copy()
    values.flat[0] = 1e5
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    names = {tensor.name for tensor in with_halves(model).graph.initializer}
    assert weight.name in names
    assert f"{weight.name}_half" not in names


def graph_of(*layers: tuple[str, tuple[int, ...]]) -> onnx.ModelProto:
    """A graph of layers with random weights, of which nothing is run."""
    draw = np.random.default_rng(0)
    nodes = [
        helper.make_node(kind, [f"x{n}", f"w{n}"], [f"x{n + 1}"], name=f"layer{n}")
        for n, (kind, _) in enumerate(layers)
    ]
    ends = [helper.make_tensor_value_info(f"x{n}", 1, None) for n in (0, len(layers))]
    weights = [
        numpy_helper.from_array(draw.standard_normal(shape).astype("f4"), f"w{n}")
        for n, (_, shape) in enumerate(layers)
    ]
    return helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], weights))


def test_layers_that_hold_next_to_nothing_and_depthwise_ones_take_eight_bits() -> None:
    shapes = ((8, 3, 3, 3), (64, 1, 9, 9), (64, 64, 3, 3), (64, 99))
    kinds = ("Conv", "Conv", "Conv", "MatMul")
    layers = nearest_codes(graph_of(*zip(kinds, shapes, strict=True)))
    assert [each.largest for each in layers] == [127, 127, 7, 7]
    for each in layers:
        assert np.abs(each.codes).max() == each.largest
        inside = np.abs(each.values / each.scale) < each.largest
        assert (np.abs(each.codes - each.values / each.scale)[inside] < 0.5001).all()


def test_no_other_step_of_a_fine_grid_is_much_nearer(float_pair) -> None:
    def error(layer, step):
        codes = np.clip(np.rint(layer.values / step), -7, 7)
        return np.square(codes * step - layer.values).sum(axis=(1, 2, 3))

    layer = next(each for each in nearest_codes(onnx.load(float_pair[1].path)) if each.largest == 7)
    assert layer.values.ndim == 4
    most = np.abs(layer.values).max(axis=(1, 2, 3), keepdims=True)
    grid = [error(layer, share * most / 7) for share in np.linspace(0.3, 1.0, 200)]
    assert (error(layer, layer.scale) <= 1.1 * np.min(grid, axis=0)).all()


def test_rounding_for_outputs_is_kept_where_it_is_truer(float_pair, tmp_path: Path) -> None:
    plain = stored(float_pair, tmp_path, QUICK)
    rounded = stored(float_pair, tmp_path, replace(QUICK, weight_rounding=ForOutputs()))
    assert (plain.rounding, rounded.rounding) == ("nearest", "for outputs")
    assert rounded.fidelity.relative_error < 0.7 * plain.fidelity.relative_error


def test_an_opset_without_four_bit_integers_is_refused_and_none_is_raised() -> None:
    with pytest.raises(UsageError, match="int4 needs --opset 21 or more, not 17"):
        four_bit_target(OnnxTarget(opset=17))
    assert four_bit_target(OnnxTarget()).opset == 21
    assert four_bit_target(OnnxTarget(opset=22)).opset == 22


def test_what_stands_for_other_weights_is_found(float_pair) -> None:
    model = onnx.load(float_pair[1].path)
    layers = nearest_codes(model)
    check_codes(with_stored_codes(model, layers), layers)
    wrong = [replace(layers[1], codes=np.roll(layers[1].codes, 1, axis=0))]
    with pytest.raises(VerificationFailed, match="codes of other weights"):
        check_codes(with_stored_codes(model, wrong), layers[1:2])
    halves = with_halves(model)
    check_halves(halves, model)
    half = next(t for t in halves.graph.initializer if t.name.endswith("_half"))
    half.CopyFrom(
        numpy_helper.from_array(numpy_helper.to_array(half) * np.float16(1.01), half.name)
    )
    with pytest.raises(VerificationFailed, match="nearest 16-bit float"):
        check_halves(halves, model)


def test_linear_layers_take_a_step_for_each_output() -> None:
    model = graph_of(("MatMul", (40, 5)))
    weight = numpy_helper.to_array(model.graph.initializer[0]) * np.array([1, 2, 4, 8, 16], "f4")
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w0"))
    (layer,) = nearest_codes(model)
    assert layer.scale.shape == (1, 5)
    assert (np.diff(layer.scale[0]) > 0).all()
