import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeprune import bench
from edgeprune.bench.on_runtimes import compared
from edgeprune.cli import main
from edgeprune.cli.measuring import fraction
from edgeprune.errors import UsageError
from edgeprune.report.files import decode

FAST = ["--seconds", "0.05", "-q"]


def dense(path: Path, width: int, outputs: int, scale: float = 1.0) -> Path:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((width, outputs)).astype("f4") * np.float32(scale)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", outputs])],
        [numpy_helper.from_array(weight, "w")],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return dense(tmp_path / "a.onnx", 64, 32)


def test_two_models_make_a_report(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = dense(tmp_path / "b.onnx", 64, 32, scale=2.0)
    written = tmp_path / "bench.json"
    gate = ["--fail-if", "ratio.macs > 1.5"]
    assert main(["bench", str(model), str(other), "--json", str(written), *gate, *FAST]) == 0
    report = decode(written)
    assert report.ratio is not None
    assert report.ratio.latency is not None
    assert report.ratio.macs == 1.0
    assert report.original.macs == 64 * 32
    assert report.parity is not None
    assert report.parity.argmax_agreement == 1.0
    assert report.parity.max_rel_diff == pytest.approx(1.0)
    assert report.environment["runtime"] == "onnxruntime"
    assert report.gates[0].passed
    assert "compressed / original" in capsys.readouterr().out


def test_one_model_makes_a_report_with_nothing_beside_it(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tmp_path / "bench.json"
    assert main(["bench", str(model), "--json", str(written), *FAST]) == 0
    content = json.loads(written.read_text())
    assert content["compressed"] is None
    assert content["original"]["latency_s"]["median"] > 0
    assert content["original"]["onnx"]["opset"] == 18
    out, err = capsys.readouterr()
    assert "latency, median" in out
    assert err == ""


@pytest.mark.parametrize(("width", "outputs"), [(64, 8), (8, 32)])
def test_models_of_other_shapes_are_timed_and_not_compared(
    width: int, outputs: int, model: Path, tmp_path: Path
) -> None:
    other, written = dense(tmp_path / "b.onnx", width, outputs), tmp_path / "bench.json"
    assert main(["bench", str(model), str(other), "--json", str(written), *FAST]) == 0
    report = decode(written)
    assert report.parity is None
    assert any("not compared" in note for note in report.notes)


def test_a_gate_that_fails_ends_with_3_and_leaves_the_report(model: Path, tmp_path: Path) -> None:
    written = tmp_path / "bench.json"
    gate = ["--fail-if", "original.macs > 1"]
    assert main(["bench", str(model), "--json", str(written), *gate, *FAST]) == 3
    assert not decode(written).gates[0].passed


@pytest.mark.parametrize(
    "flags",
    [
        ["--fail-if", "accuracy.drop > 1%"],
        ["--fail-if", "latency.ratio.high > 0.8"],
        ["--fail-if", "nonsense"],
        ["--runtime", "abacus"],
        ["--device", "moon"],
        ["--threads", "0"],
        ["--seconds", "-1"],
        ["--within", "0"],
        ["--within", "150%"],
        ["--within", "nearly"],
        ["--arena", "maybe"],
        ["--arena", "off", "--runtime", "openvino"],
    ],
)
def test_what_cannot_work_ends_with_2_before_anything_runs(
    flags: list[str], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "measure_alone", lambda *_: pytest.fail("it ran"))
    assert main(["bench", str(model), *flags]) == 2


def test_a_file_that_is_no_model_ends_with_4(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("hello")
    assert main(["bench", str(tmp_path / "m.onnx"), *FAST]) == 4
    assert main(["bench", str(tmp_path / "nothing.onnx")]) == 2


def test_the_worst_output_counts() -> None:
    reference = [[np.array([[1.0, 0.0]]), np.array([[2.0, 4.0]])]]
    candidate = [[np.array([[1.0, 0.0]]), np.array([[4.0, 2.0]])]]
    parity = compared(reference, candidate)
    assert parity is not None
    assert (parity.max_abs_diff, parity.max_rel_diff, parity.argmax_agreement) == (2.0, 0.5, 0.0)


@pytest.mark.parametrize(("text", "share"), [("1%", 0.01), ("0.02", 0.02), (".5 %", None)])
def test_how_sure_to_be_is_a_fraction(text: str, share: float | None) -> None:
    if share is None:
        with pytest.raises(UsageError, match=r"--within \.5 %: expected a fraction such as 1%"):
            fraction("within", text)
    else:
        assert fraction("within", text) == pytest.approx(share)


def test_flags_are_what_is_measured_with(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bench.BenchSettings] = []

    def stop_here(_: Path, settings: bench.BenchSettings, *__: object) -> None:
        seen.append(settings)
        raise UsageError("seen enough")

    monkeypatch.setattr(bench, "measure_alone", stop_here)
    flags = ["--seconds", "7", "--within", "2%", "--arena", "off", "--seed", "3"]
    assert main(["bench", str(model), *flags]) == 2
    assert (seen[0].seconds, seen[0].within, seen[0].arena, seen[0].seed) == (7, 0.02, False, 3)


def test_an_earlier_report_of_the_same_machine_is_compared_with(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    assert main(["bench", str(model), "--json", str(old), *FAST]) == 0
    capsys.readouterr()
    wanted = ["--baseline", str(old), "--write", "json", str(new), "--write", "markdown", "-"]
    gate = ["--fail-if", "baseline.latency.low > 100 or baseline.macs > 1"]
    assert main(["bench", str(model), *wanted, *gate, *FAST]) == 0
    found = decode(new).baseline
    assert found is not None
    assert (found.path, found.macs, found.differs) == (str(old), 1.0, ())
    assert found.latency is not None
    assert found.latency.low <= found.latency.value <= found.latency.high
    assert capsys.readouterr().out.startswith("# ")


@pytest.mark.parametrize(
    "flags", [["--fail-if", "baseline.latency.low > 1"], ["--baseline", "nowhere.json"]]
)
def test_a_baseline_that_is_not_there_ends_with_2_before_anything_runs(
    flags: list[str], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "measure_alone", lambda *_: pytest.fail("it ran"))
    assert main(["bench", str(model), *flags]) == 2
