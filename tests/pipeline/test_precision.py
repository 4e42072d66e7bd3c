"""Which precision is delivered, by what was asked and measured."""

from pathlib import Path

import pytest

from edgeprune.artifacts import (
    ExportedModel,
    Fidelity,
    KernelProof,
    Parity,
    PrecisionChoice,
    QuantizedModel,
    RatioInterval,
)
from edgeprune.artifacts.quantized import Precision
from edgeprune.errors import UsageError
from edgeprune.pipeline.config import CompressConfig
from edgeprune.pipeline.precision import decide, true_enough
from edgeprune.report import gates

FASTER = RatioInterval(0.5, 0.48, 0.52, 0.95)
UNSURE = RatioInterval(0.95, 0.85, 1.05, 0.95)
SLOWER = RatioInterval(1.3, 1.2, 1.4, 0.95)


def fidelity(drop: float | None, error: float = 0.05) -> Fidelity:
    return Fidelity(error, 0.9, {}, 64, "", drop)


@pytest.mark.parametrize(
    ("asked", "ratio", "drop", "small", "expected"),
    [
        ("int8", FASTER, 0.001, False, ("int8", "faster")),
        ("int8", FASTER, 0.2, False, ("int8", "faster")),
        ("int8", SLOWER, 0.001, False, ("fp32", "not faster")),
        ("int8", UNSURE, 0.001, False, ("fp32", "not faster")),
        ("int8", SLOWER, 0.001, True, ("int8", "smaller")),
        ("int8", None, 0.001, False, ("int8", "not measured")),
        ("auto", FASTER, 0.001, False, ("int8", "faster")),
        ("auto", FASTER, 0.2, False, ("fp32", "not true enough")),
        ("auto", FASTER, 0.2, True, ("fp32", "not true enough")),
        ("auto", SLOWER, 0.001, False, ("fp32", "not faster")),
        ("auto", SLOWER, 0.001, True, ("int8", "smaller")),
        ("auto", None, 0.001, False, ("fp32", "not measured")),
    ],
)
def test_int8_is_delivered_where_it_is_faster_and_auto_wants_it_true(
    asked: str,
    ratio: RatioInterval | None,
    drop: float,
    small: bool,
    expected: tuple[str, str],
) -> None:
    assert decide(asked, ratio, fidelity(drop), small=small) == expected


@pytest.mark.parametrize(
    ("drop", "error", "expected"),
    [(0.019, 0.5, True), (0.021, 0.01, False), (None, 0.09, True), (None, 0.11, False)],
)
def test_classes_may_lose_a_little_accuracy_and_other_outputs_a_little_precision(
    drop: float | None, error: float, expected: bool
) -> None:
    assert true_enough(fidelity(drop, error)) is expected


@pytest.mark.parametrize("gate", ["size > 1 MiB", "size.ratio > 30%", "ratio.bytes > 0.3"])
def test_a_gate_on_the_file_asks_for_a_small_one(gate: str) -> None:
    assert CompressConfig(fail_if=(gate,)).wants_small_file
    assert not CompressConfig(fail_if=("latency.ratio > 0.9",)).wants_small_file


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UsageError, match="fp32, fp16, int8, int4, auto"):
        CompressConfig(precision="int7")  # type: ignore[arg-type]


@pytest.mark.parametrize(("delivered", "opset"), [("int8", 21), ("fp32", 17)])
def test_the_deliverable_is_described_as_its_own_file_is(delivered: Precision, opset: int) -> None:
    plain = ExportedModel(Path("f.onnx"), 17, 40, "f" * 64, Parity(0.0, 0.0, 1.0, 1, (1,)))
    proof = KernelProof(most_codes=0, max_rel_diff=0.0, n=1)
    made = QuantizedModel(Path("q.onnx"), 21, 10, "a" * 64, "u8", {}, {}, proof, fidelity(0.0))
    file = PrecisionChoice("int8", delivered, "not measured", made, plain).file
    own = made if delivered == "int8" else plain
    assert file.opset == opset
    assert (file.path, file.bytes, file.sha256) == (own.path, own.bytes, own.sha256)


def test_gates_on_fidelity_need_a_quantized_file() -> None:
    for gate in (
        "fidelity.agreement < 99%",
        "fidelity.expected_drop > 1%",
        "precision.ratio.high > 1",
    ):
        assert gates.needs(gate)
        lacks = CompressConfig().missing_figures(_no_images())
        with pytest.raises(UsageError, match="--precision int8"):
            gates.require((gate,), lacks)
    lacks = CompressConfig(precision="int8").missing_figures(_no_images())
    gates.require(("fidelity.agreement < 99%", "precision.ratio.high > 1"), lacks)


def _no_images():
    from edgeprune.evaluation import Images

    return Images(None, None)
