"""Each check finds what it is for: a wrong code, a quantized output, a wrong kernel."""

import copy
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from quantized_zoo import REAL, Pair, pair

from edgeprune.calibration import onnx_runs
from edgeprune.errors import VerificationFailed
from edgeprune.export import qdq, quantized_checks
from edgeprune.export.quantized_checks import check_kernels, check_outputs, check_weights
from edgeprune.images.procedural import DeadLeaves
from edgeprune.parity import Array


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair("chain", tmp_path_factory.mktemp("chain"), REAL)


def with_first_codes(made: Pair, change: Callable[[Array], Array]) -> onnx.ModelProto:
    first = next(qdq.weight_codes(made.after, made.before))
    return qdq.with_codes(made.after, {first.node: change(first.codes.copy())})


def moved(by: int) -> Callable[[Array], Array]:
    def change(codes: Array) -> Array:
        place = np.unravel_index(np.abs(codes).argmin(), codes.shape)
        codes[place] += by
        return codes

    return change


def test_a_code_beside_the_nearest_is_found_and_named(chain: Pair) -> None:
    check_weights(chain.after, chain.before, nearest=True)
    with pytest.raises(VerificationFailed, match=r"'0\.0'"):
        check_weights(with_first_codes(chain, moved(1)), chain.before, nearest=True)


def test_another_rounding_may_take_the_other_neighbour_and_no_more(chain: Pair) -> None:
    def other_neighbour(codes: Array) -> Array:
        first = next(qdq.weight_codes(chain.after, chain.before))
        exact = first.values / first.scale
        return np.where(codes > exact, np.floor(exact), np.ceil(exact)).clip(-127, 127)

    check_weights(with_first_codes(chain, other_neighbour), chain.before, nearest=False)
    with pytest.raises(VerificationFailed, match="codes from its float value"):
        check_weights(with_first_codes(chain, moved(2)), chain.before, nearest=False)


def test_an_output_behind_a_quantizer_is_found(chain: Pair) -> None:
    check_outputs(chain.after, chain.before)
    wrong = copy.deepcopy(chain.after)
    last = next(node for node in wrong.graph.node if "output" in node.output)
    last.output[0] = "inner"
    wrong.graph.initializer.extend(
        [numpy_helper.from_array(np.float32(0.1), "s"), numpy_helper.from_array(np.uint8(0), "z")]
    )
    wrong.graph.node.append(helper.make_node("QuantizeLinear", ["inner", "s", "z"], ["codes"]))
    wrong.graph.node.append(helper.make_node("DequantizeLinear", ["codes", "s", "z"], ["output"]))
    with pytest.raises(VerificationFailed, match="in front of an output"):
        check_outputs(wrong, chain.before)


def test_kernels_that_compute_something_else_are_found(
    chain: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = DeadLeaves()(chain.source, 2, 3)
    fed = onnx_runs.feeds(chain.before, images)
    assert check_kernels(chain.after, fed).most_codes <= 1
    wrong = with_first_codes(chain, lambda codes: np.clip(codes, -60, 60))  # saturated products

    def session(model: onnx.ModelProto, *, optimized: bool = True):
        if optimized:
            model = onnx_runs.with_outputs(wrong, quantized_checks._kinds(wrong))
        return onnx_runs.session(model, optimized=optimized)

    monkeypatch.setattr(quantized_checks, "session", session)
    with pytest.raises(VerificationFailed, match="codes beside what the file says"):
        check_kernels(chain.after, fed)
