"""int8 as one asks for it: --precision of compress and export, and the flags that go with it."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from invocation import CHAIN_SHAPE, edgeprune
from onnx import numpy_helper

FAST = ("--opset", "17", "--no-bench", "--recover", "none", "--input", CHAIN_SHAPE, "-q")


@pytest.fixture(scope="module")
def run(chain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chain, quantized and not measured."""
    run = tmp_path_factory.mktemp("int8") / "run"
    gate = ("--fail-if", "fidelity.agreement < 1%")
    ran = edgeprune("compress", chain, *FAST, "--precision", "int8", *gate, "-o", run)
    assert ran.code == 0, ran.err
    return run


def is_quantized(file: Path) -> bool:
    kinds = {node.op_type for node in onnx.load(file).graph.node}
    return "QuantizeLinear" in kinds


def test_int8_is_the_deliverable_and_the_float_file_lies_beside_it(run: Path) -> None:
    assert is_quantized(run / "compressed.onnx")
    assert not is_quantized(run / "compressed.fp32.onnx")
    assert not (run / "compressed.int8.onnx").exists()


def test_the_report_says_how_true_it_is_and_that_it_was_not_measured(run: Path) -> None:
    report = json.loads((run / "report.json").read_text())
    assert report["precision"]["delivered"] == "int8"
    assert report["precision"]["ground"] == "not measured"
    assert report["precision"]["ratio"] is None
    assert report["precision"]["kernel_codes"] <= 1
    assert 0 < report["fidelity"]["relative_error"] < 0.3
    assert report["fidelity"]["n"] == 64
    size = (run / "compressed.onnx").stat().st_size
    assert report["compressed"]["onnx"]["bytes"] == size
    assert report["gates"][0]["passed"]
    for name in ("report.md", "report.html"):
        text = (run / name).read_text()
        assert "whether int8 is faster was not measured" in text
        assert "64 inputs (procedural, dead leaves)" in text


def test_the_recipe_has_the_settings_of_int8(run: Path) -> None:
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    assert recipe["precision"] == "int8"
    assert recipe["activations"] == "auto"
    assert recipe["ranges"] == "min-max"


def test_auto_stays_float_where_nothing_was_measured(chain: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    ran = edgeprune("compress", chain, *FAST, "--precision", "auto", "-o", run)
    assert ran.code == 0, ran.err
    assert not is_quantized(run / "compressed.onnx")
    assert is_quantized(run / "compressed.int8.onnx")
    report = json.loads((run / "report.json").read_text())
    assert report["precision"]["delivered"] == "fp32"
    assert report["precision"]["beside"] == "compressed.int8.onnx"


def test_export_writes_the_quantized_file_under_a_name_of_its_own(
    chain: Path, tmp_path: Path
) -> None:
    flags = ("--opset", "17", "--input", CHAIN_SHAPE, "--precision", "int8", "-o", tmp_path)
    ran = edgeprune("export", chain, *flags, "--activations", "s8", "--input-range", "-3:3")
    assert ran.code == 0, ran.err
    assert ran.out.strip() == str(tmp_path / "chain.int8.onnx")
    assert "outputs differ by" in ran.err
    stored = {
        t.name: numpy_helper.to_array(t) for t in onnx.load(ran.out.strip()).graph.initializer
    }
    assert stored["input_zero_point"].dtype == np.int8
    assert float(stored["input_scale"]) == pytest.approx(6 / 255)
    assert [path.name for path in tmp_path.iterdir()] == ["chain.int8.onnx"]
    again = edgeprune("export", chain, *flags)
    assert again.code == 2
    assert "--overwrite" in again.error


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--input-range", "3:-3"), "--input-range 3:-3: expected LOW:HIGH"),
        (("--input-range", "5"), "expected LOW:HIGH"),
        (("--input-range", "nan:1"), "expected LOW:HIGH"),
        (("--ranges", "middle"), "no range observer is called 'middle'"),
        (("--runtime", "ncnn"), "--precision int8 runs on onnxruntime and openvino, not on ncnn"),
        (("--precision", "int7"), "Invalid value for '--precision'"),
        (("--rounding", "up"), "no weight rounding is called 'up'"),
        (("--precision", "int4", "--opset", "20"), "int4 needs --opset 21 or more, not 20"),
        (("--precision", "fp16", "--runtime", "mnn"), "--precision fp16 runs on onnxruntime and"),
        (("--opset", "12"), "int8 needs --opset 13 or more, not 12"),
    ],
)
def test_flags_that_mean_nothing_are_refused_at_once(
    chain: Path, tmp_path: Path, flags: tuple[str, ...], message: str
) -> None:
    whole = ("--precision", "int8", "--input", CHAIN_SHAPE, *flags, "-o", tmp_path / "run")
    ran = edgeprune("compress", chain, *whole)
    assert ran.code == 2
    assert message in " ".join(ran.err.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("precision", ["fp16", "int4"])
def test_weights_alone_are_delivered_as_they_are_asked_for(
    chain: Path, tmp_path: Path, precision: str
) -> None:
    run = tmp_path / "run"
    flags = ("--no-bench", "--recover", "none", "--input", CHAIN_SHAPE, "-q", "-o", run)
    ran = edgeprune("compress", chain, "--macs", "80%", *flags, "--precision", precision)
    assert ran.code == 0, ran.err
    report = json.loads((run / "report.json").read_text())
    assert report["precision"]["delivered"] == precision
    assert report["precision"]["activations"] == "float"
    small, plain = (run / name for name in ("compressed.onnx", "compressed.fp32.onnx"))
    assert small.stat().st_size < 0.8 * plain.stat().st_size
    assert report["compressed"]["onnx"]["bytes"] == small.stat().st_size
    assert not is_quantized(small)
    assert f"{precision} delivered: asked for by size: whether {precision} is faster was not" in (
        (run / "report.md").read_text()
    )


def test_export_writes_small_weights_under_a_name_of_their_own(chain: Path, tmp_path: Path) -> None:
    flags = ("--input", CHAIN_SHAPE, "--precision", "fp16", "-o", tmp_path)
    ran = edgeprune("export", chain, *flags)
    assert ran.code == 0, ran.err
    assert ran.out.strip() == str(tmp_path / "chain.fp16.onnx")
    assert "outputs differ by" in ran.err


def test_other_targets_have_no_int8(chain: Path) -> None:
    ran = edgeprune("export", chain, "--target", "torch", "--precision", "int8")
    assert ran.code == 2
    assert "--precision int8 is for --target onnx" in ran.error


DRY = ("--input", CHAIN_SHAPE, "--dry-run")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ("--precision", "int8", "--input-range", "-2:5", "--activations", "s8"),
            {"activations": "s8", "inputs": "-2 to 5",
             "delivered": "if it is measured to be faster"},
        ),
        (
            ("--precision", "auto", "--image-free", "--fail-if", "size.ratio > 30%"),
            {"ranges": "from BatchNorm statistics alone",
             "delivered": "if it is expected to lose at most 2.0% of accuracy, or where outputs "
                          "are no classes 10.0% of them"},
        ),
        (
            ("--precision", "int8", "--no-bench"),
            {"ranges": "from 256 images (procedural, dead leaves)",
             "delivered": "in any case, as nothing is measured"},
        ),
        (
            ("--precision", "auto", "--no-bench"),
            {"delivered": "not at all, as nothing is measured"},
        ),
    ],
)  # fmt: skip
def test_a_dry_run_says_what_would_be_quantized_how(
    chain: Path, flags: tuple[str, ...], said: dict[str, str]
) -> None:
    ran = edgeprune("compress", chain, *DRY, *flags, "--json", "-", "-q")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)["int8"]
    assert found["precision"] == flags[1]
    assert {key: found[key] for key in said} == said


def test_a_dry_run_in_float_says_nothing_of_int8(chain: Path) -> None:
    ran = edgeprune("compress", chain, *DRY, "--json", "-", "-q")
    assert json.loads(ran.out)["int8"] is None


def test_a_dry_run_prints_what_is_known_of_the_input(chain: Path) -> None:
    ran = edgeprune("compress", chain, *DRY, "--precision", "int8", "-q")
    assert ran.code == 0, ran.err
    assert "\ninputs " in ran.out
    assert "delivered   if it is measured to be faster" in ran.out
