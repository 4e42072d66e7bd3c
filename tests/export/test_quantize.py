"""Laws of quantized files, by arithmetic in numpy and ONNX's own reference evaluator."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import quantized_zoo
import torch
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from quantized_zoo import QUICK, REAL, SPEC, TARGET, Pair, pair

from edgeprune.artifacts import ImageKind
from edgeprune.calibration.observers import Percentile
from edgeprune.errors import UsageError
from edgeprune.export import OnnxTarget, Quantize
from edgeprune.images.given import Given
from edgeprune.images.procedural import DeadLeaves
from edgeprune.parity import Array

NETWORKS = ("residual", "transposed", "two-outputs")


@pytest.fixture(scope="module", params=NETWORKS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    target = OnnxTarget() if request.param == "residual" else TARGET
    return pair(request.param, tmp_path_factory.mktemp("int8"), target=target)


def constants(model: onnx.ModelProto) -> dict[str, Array]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def images(made: Pair, n: int = 4) -> Array:
    return DeadLeaves()(made.source, n, 77)[0].numpy()


def test_weights_are_rounded_to_the_nearest_code_of_their_channel(made: Pair) -> None:
    floats, stored = constants(made.before), constants(made.after)
    weights = {n: w for n, w in stored.items() if n.endswith("_quantized") and w.dtype == np.int8}
    assert weights
    for name, codes in weights.items():
        original = name.removesuffix("_quantized")
        scale = stored[f"{original}_scale"]
        assert not stored[f"{original}_zero_point"].any()
        channel = next(a for a in range(codes.ndim) if codes.shape[a] == scale.size)
        step = scale.reshape([-1 if a == channel else 1 for a in range(codes.ndim)])
        assert np.abs(floats[original] - codes * step).max() <= step.max() * 0.50001
        assert np.abs(codes).max() == 127


def test_no_output_is_made_of_codes(made: Pair) -> None:
    makers = {name: node for node in made.after.graph.node for name in node.output}
    moving = ("Reshape", "Flatten", "Transpose", "Concat", "Sigmoid", "Softmax", "Relu")
    for output in made.after.graph.output:
        node = makers[output.name]
        while node.op_type in moving:
            node = makers[node.input[0]]
        assert node.op_type in ("Conv", "Gemm", "ConvTranspose"), node.op_type


def test_the_reference_evaluator_computes_what_onnxruntime_does(made: Pair) -> None:
    reference = ReferenceEvaluator(made.after)
    images_ = images(made)
    runtime = onnx_session(made.quantized.path)
    for image in images_:
        feed = {"input": image[None]}
        for wanted, got in zip(reference.run(None, feed), runtime.run(None, feed), strict=True):
            scale = np.abs(wanted).max()
            np.testing.assert_allclose(got, wanted, atol=0.03 * scale)


def onnx_session(path: Path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_it_is_true_to_the_float_file_on_images_of_other_seeds(made: Pair) -> None:
    before, after = (onnx_session(each.path) for each in (made.exported, made.quantized))
    for image in images(made):
        feed = {"input": image[None]}
        for wanted, got in zip(before.run(None, feed), after.run(None, feed), strict=True):
            assert np.linalg.norm(got - wanted) < 0.15 * np.linalg.norm(wanted)
    assert made.quantized.fidelity.relative_error < 0.15
    assert made.quantized.fidelity.n == 8


def test_most_of_the_weights_are_bytes(made: Pair) -> None:
    stored = constants(made.after)
    bytes_ = sum(w.size for w in stored.values() if w.dtype == np.int8)
    floats = sum(w.size for n, w in stored.items() if w.ndim > 1 and w.dtype == np.float32)
    assert bytes_ > 4 * floats


def test_kernels_are_proved_and_the_origin_is_kept(made: Pair) -> None:
    assert made.quantized.kernels.most_codes <= 1
    assert made.quantized.kernels.n == 8
    about = {each.key: each.value for each in made.after.metadata_props}
    assert about["source_name"] == made.source.name
    assert about["precision"].startswith("int8")
    assert made.after.producer_name == "edgeprune"


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    first, second = (pair("chain", folder) for folder in (tmp_path, tmp_path / "again"))
    assert first.quantized.sha256 == second.quantized.sha256
    assert first.quantized.path.read_bytes() == second.quantized.path.read_bytes()


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair("chain", tmp_path_factory.mktemp("chain"))


def again(made: Pair, tmp_path: Path, **changes: object) -> Pair:
    """The same float file quantized with other settings."""
    quantize = dataclasses.replace(REAL, **changes)
    quantized = quantize(made.source, made.exported, TARGET, tmp_path / "again.onnx")
    return Pair(made.source, made.exported, quantized)


def test_activations_are_bytes_of_the_type_asked_for(chain: Pair, tmp_path: Path) -> None:
    signed = again(chain, tmp_path, activations="s8")
    zeros = {
        constants(signed.after)[node.input[2]].dtype
        for node in signed.after.graph.node
        if node.op_type == "QuantizeLinear"
    }
    assert zeros == {np.dtype(np.int8)}
    assert signed.quantized.activations == "s8"


def test_the_input_range_given_is_that_of_the_inputs_codes(chain: Pair, tmp_path: Path) -> None:
    found = again(chain, tmp_path, input_range=((-4.0, 6.0),))
    assert found.quantized.ranges["input"] == (-4.0, 6.0)
    stored = constants(found.after)
    assert stored["input_scale"] == pytest.approx(10 / 255)
    assert stored["input_zero_point"] == round(4 / (10 / 255))


def test_the_range_of_pixels_is_known_without_looking(chain: Pair) -> None:
    low, high = chain.quantized.ranges["input"]
    assert low == pytest.approx(-0.485 / 0.229)
    assert high == pytest.approx((1 - 0.406) / 0.225)


def test_the_first_layer_stays_float_on_inputs_that_are_no_pixels(tmp_path: Path) -> None:
    source = quantized_zoo.source("chain")
    with torch.no_grad():
        source.module[0][1].running_var.mul_(400)  # trained on inputs 20 times as wide
    exported = TARGET(source.module, SPEC, tmp_path / "a.onnx", {})
    found = QUICK(source, exported, TARGET, tmp_path / "b.onnx")
    assert list(found.kept_float.values()) == ["the input's range is not known"]
    assert "input" not in found.ranges


def test_layers_named_stay_float(chain: Pair, tmp_path: Path) -> None:
    found = again(chain, tmp_path, keep_float=("1.0",))
    weights = constants(found.after)
    assert weights["1.0.weight"].dtype == np.float32
    assert list(found.quantized.kept_float.values()) == ["asked for"]


@pytest.mark.parametrize(
    ("name", "layer"), [("depthwise", "1.0"), ("transposed", "1"), ("flatten", "3")]
)
def test_onnxruntime_does_not_quantize_what_stays_float(
    name: str, layer: str, tmp_path: Path
) -> None:
    found = pair(name, tmp_path, dataclasses.replace(REAL, keep_float=(layer,)))
    floats = {n for n, w in constants(found.after).items() if w.ndim > 1 and w.dtype == np.float32}
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    # the level below changes no layout, and so keeps the weights' names
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    onnxruntime.InferenceSession(found.quantized.path, options)
    fused = onnx.load(tmp_path / "fused.onnx")
    assert floats
    assert floats <= set(constants(fused))
    float_ops = ("Conv", "FusedConv", "Gemm", "FusedGemm", "ConvTranspose")
    computed = [node for node in fused.graph.node if node.op_type in float_ops]
    assert floats <= {node.input[1] for node in computed}


def test_a_narrower_observer_clips(chain: Pair, tmp_path: Path) -> None:
    wide, narrow = (
        again(chain, tmp_path, ranges=each) for each in (Percentile(1.0), Percentile(0.98))
    )
    inner = [name for name in narrow.quantized.ranges if name != "input"]
    assert inner
    for name in inner:
        assert narrow.quantized.ranges[name][1] < wide.quantized.ranges[name][1]
    assert narrow.quantized.fidelity.most_clipped > wide.quantized.fidelity.most_clipped


def test_real_images_are_believed(chain: Pair, tmp_path: Path) -> None:
    tensors = (0.5 * torch.randn(32, *SPEC.shapes[0][1:]),)
    found = again(chain, tmp_path, images=Given(tensors, "photos", ImageKind.REAL)).quantized
    assert found.ranges["input"] == (float(tensors[0].min()), float(tensors[0].max()))
    assert found.fidelity.origin == "photos"


def reach(made: Pair) -> float:
    """The largest value that a BatchNorm says is reached."""
    norms = [m for m in made.source.module.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    return max(float((n.bias + 6 * n.weight.abs()).detach().max()) for n in norms)


def inner_range(made: Pair) -> float:
    """The largest value that any code behind the input stands for."""
    return max(high for name, (_, high) in made.quantized.ranges.items() if name != "input")


def test_outliers_beyond_the_reach_of_a_norm_widen_no_range(chain: Pair, tmp_path: Path) -> None:
    (photos,) = quantized_zoo.PHOTOS
    outliers = Given((torch.cat([1000 * photos[:16], photos]),), "photos", ImageKind.REAL)
    found = again(chain, tmp_path, images=outliers)
    assert found.quantized.ranges["input"][1] > 500
    assert 0 < inner_range(found) <= reach(chain) * 1.001


def test_real_images_whose_tails_are_worth_their_codes_keep_them(
    chain: Pair, tmp_path: Path
) -> None:
    (photos,) = quantized_zoo.PHOTOS
    wild = Given((20 * photos,), "photos", ImageKind.REAL)  # all of it lies beyond the norms' reach
    assert inner_range(again(chain, tmp_path, images=wild)) > 2 * reach(chain)


def test_images_that_are_nothing_like_the_others_make_no_worse_a_file_than_none(
    chain: Pair, tmp_path: Path
) -> None:
    (photos,) = quantized_zoo.PHOTOS
    dim = Given((torch.cat([0.02 * photos[:24], photos[:8]]),), "photos", ImageKind.REAL)
    given, none = again(chain, tmp_path, images=dim), chain
    assert given.quantized.fidelity.origin == "photos"
    assert inner_range(given) == inner_range(none)  # those of the same procedural images
    held_out = photos[:8].numpy()
    assert error(given, held_out) <= error(none, held_out) * 1.05


def error(made: Pair, inputs: Array) -> float:
    """The error of the outputs, relative, by ONNX Runtime."""
    before, after = (
        onnxruntime.InferenceSession(path) for path in (made.exported.path, made.quantized.path)
    )
    runs = [[s.run(None, {"input": one[None]})[0] for one in inputs] for s in (before, after)]
    wanted, got = map(np.concatenate, runs)
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


def test_too_few_images_are_refused(chain: Pair, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="16 images or more, not 3"):
        again(chain, tmp_path, images=Given((torch.randn(3, *SPEC.shapes[0][1:]),)))


def test_an_opset_without_scales_by_channel_is_refused(chain: Pair, tmp_path: Path) -> None:
    old = dataclasses.replace(chain.exported, opset=12)
    with pytest.raises(UsageError, match="--opset 13"):
        Quantize()(chain.source, old, TARGET, tmp_path / "x.onnx")


def test_ranges_from_statistics_alone_make_as_true_a_file(chain: Pair, tmp_path: Path) -> None:
    def no_export(*_: object) -> None:
        pytest.fail("nothing needs a twin")

    quantize = dataclasses.replace(QUICK, image_free=True)
    found = quantize(chain.source, chain.exported, no_export, tmp_path / "free.onnx")
    assert found.fidelity.relative_error < 0.15
    assert found.kernels.most_codes <= 1


def test_a_range_too_many_is_refused_beside_real_images_too(chain: Pair, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--input-range is given 2 times for 1 inputs"):
        again(chain, tmp_path, input_range=((0.0, 1.0), (0.0, 1.0)))
