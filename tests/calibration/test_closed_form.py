"""Ranges without images, against BatchNorm's parameters and values that were drawn."""

import numpy as np
import onnx
import pytest
import torch
import zoo
from onnx import helper, numpy_helper

from edgeprune.artifacts import InputSpec, SourceModel
from edgeprune.calibration import onnx_runs
from edgeprune.calibration.closed_form import closed_form_ranges, reach_of_norms
from edgeprune.calibration.levels import RULES, Levels, reaching, weighted
from edgeprune.errors import UsageError
from edgeprune.export import OnnxTarget
from edgeprune.images.procedural import DeadLeaves

SPEC = InputSpec((zoo.INPUT_SHAPE,))
CURVES = {
    "Relu": torch.relu,
    "Sigmoid": torch.sigmoid,
    "HardSwish": torch.nn.functional.hardswish,
    "HardSigmoid": lambda x: (x / 5 + 0.5).clamp(0, 1),
}


def normal(seed: int = 0) -> tuple[Levels, torch.Tensor]:
    """Levels of four channels, and values that have them."""
    generator = torch.Generator().manual_seed(seed)
    mean, std = (torch.randn(2, 4, generator=generator) * 2).double()
    std = std.abs() + 0.1
    values = mean + std * torch.randn(200_000, 4, generator=generator).double()
    return reaching(mean, std), values


@pytest.mark.parametrize("kind", CURVES)
def test_a_function_of_a_gaussian_has_the_levels_of_its_values(kind: str) -> None:
    levels, values = normal()
    made = RULES[kind](helper.make_node(kind, ["x"], ["y"]), [levels], {})
    found = CURVES[kind](values)
    torch.testing.assert_close(made.mean, found.mean(0), atol=0.02, rtol=0)
    torch.testing.assert_close(made.std, found.std(0), atol=0.02, rtol=0)
    assert made.span[0] <= float(found.min()) + 1e-3
    assert made.span[1] >= float(found.max()) - 1e-3


def test_sums_and_products_have_the_levels_of_independent_values() -> None:
    (a, x), (b, y) = normal(0), normal(1)
    for kind, found in (("Add", x + y), ("Mul", x * y)):
        made = RULES[kind](helper.make_node(kind, ["x", "y"], ["z"]), [a, b], {})
        torch.testing.assert_close(made.mean, found.mean(0), atol=0.1, rtol=0)
        torch.testing.assert_close(made.std, found.std(0), atol=0.1, rtol=0.02)
        assert made.span[0] <= float(found.min())
        assert made.span[1] >= float(found.max())


def test_a_clip_bounds_the_span() -> None:
    limits = {n: numpy_helper.from_array(np.float32(v), n) for n, v in (("lo", 0), ("hi", 1.5))}
    made = RULES["Clip"](helper.make_node("Clip", ["x", "lo", "hi"], ["y"]), [normal()[0]], limits)
    assert made.span == (0.0, 1.5)


def test_a_linear_layer_has_the_levels_of_its_outputs() -> None:
    levels, values = normal()
    weight, bias = torch.randn(3, 4).double(), torch.randn(3).double()
    made, found = weighted(levels, weight, bias), values @ weight.T + bias
    torch.testing.assert_close(made.mean, found.mean(0), atol=0.05, rtol=0)
    torch.testing.assert_close(made.std, found.std(0), atol=0.05, rtol=0.02)


@pytest.fixture(scope="module", params=["chain", "residual", "no-norm"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A network that has seen procedural images, and its graph."""
    images = DeadLeaves()(SourceModel(zoo.build("chain"), SPEC, "", ""), 32, 5)[0]
    source = SourceModel(zoo.calibrated(zoo.build(request.param), images), SPEC, request.param, "")
    path = tmp_path_factory.mktemp("free") / "net.onnx"
    OnnxTarget(opset=17)(source.module, SPEC, path, {})
    return source, onnx.load(path), images


def test_every_activation_has_a_range_that_holds_nearly_all_of_its_values(exported) -> None:
    source, model, images = exported
    ranges = closed_form_ranges(source, model, {"input": None})
    names = onnx_runs.float_tensors(model)
    assert set(names) <= ranges.keys()
    for run in onnx_runs.tensors(model, names, onnx_runs.feeds(model, (images[:8],))):
        for name, values in run.items():
            low, high = ranges[name]
            assert np.mean((values < low) | (values > high)) < 0.02, name
            if name != "input" and source.name != "no-norm":
                assert high - low < 40 * (values.max() - values.min() + 0.1), name


def test_behind_a_norm_the_range_is_six_deviations_about_beta(exported) -> None:
    source, model, _ = exported
    if source.name != "chain":
        pytest.skip("the layer is named for the chain")
    ranges = closed_form_ranges(source, model, {"input": (-3.0, 3.0)})
    norm = source.module[0][1]
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    low = float((norm.bias - 6 * norm.weight.abs()).detach().min())
    high = float((norm.bias + 6 * norm.weight.abs()).detach().max())
    assert ranges[first.output[0]] == pytest.approx((low, high))
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    assert ranges[relu.output[0]] == pytest.approx((0.0, high), abs=0.05)
    assert ranges["input"] == (-3.0, 3.0)


def test_norms_bound_what_lies_behind_them_and_nothing_else(exported) -> None:
    source, model, _ = exported
    reached = reach_of_norms(source, model)
    assert "input" not in reached
    if source.name == "no-norm":
        assert reached == {}
    elif source.name == "chain":
        whole = closed_form_ranges(source, model, {"input": None})
        assert reached == {name: each for name, each in whole.items() if name != "input"}


def test_the_graph_of_another_network_bounds_nothing(exported) -> None:
    _, model, _ = exported
    other = SourceModel(zoo.build("inverted-residual"), SPEC, "", "")
    assert reach_of_norms(other, model) == {}


def test_the_graph_of_another_network_is_refused(exported) -> None:
    _, model, _ = exported
    other = SourceModel(zoo.build("inverted-residual"), SPEC, "", "")
    with pytest.raises(UsageError, match="--image-free"):
        closed_form_ranges(other, model, {"input": None})


def test_a_hard_sigmoid_has_the_slope_of_its_node() -> None:
    levels, values = normal()
    node = helper.make_node("HardSigmoid", ["x"], ["y"], alpha=1 / 6, beta=0.25)
    made = RULES["HardSigmoid"](node, [levels], {})
    found = (values / 6 + 0.25).clamp(0, 1)
    torch.testing.assert_close(made.mean, found.mean(0), atol=0.02, rtol=0)
    torch.testing.assert_close(made.std, found.std(0), atol=0.02, rtol=0)
