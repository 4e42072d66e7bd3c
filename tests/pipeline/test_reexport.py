"""After training of the user's own: file, proof and report again, of the weights that they gave."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
import torch
import zoo
from invocation import edgeprune
from safetensors.torch import save_file

import edgeprune as ep

if TYPE_CHECKING:
    from pathlib import Path

    from edgeprune.pipeline.result import CompressionReport

OLDER = ("--no-bench", "--opset", "17")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> CompressionReport:
    folder = tmp_path_factory.mktemp("first") / "run"
    settings: dict[str, Any] = {
        "recover": "none",
        "bench": False,
        "target": ep.OnnxTarget(opset=17),
    }
    return ep.compress(zoo.build("chain"), zoo.INPUT_SHAPE, macs=0.5, directory=folder, **settings)


@pytest.fixture(scope="module")
def tuned(run: CompressionReport) -> torch.nn.Module:
    module = ep.load(run.directory)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.eval()


def answers(file: Path, inputs: torch.Tensor) -> np.ndarray[Any, Any]:
    session = onnxruntime.InferenceSession(file)
    found: np.ndarray[Any, Any] = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})[
        0
    ]
    return found


def test_the_new_file_computes_what_the_trained_network_does(
    run: CompressionReport, tuned: torch.nn.Module, tmp_path: Path
) -> None:
    again = run.reexport(tuned, directory=tmp_path / "tuned", bench=False)
    inputs = torch.randn(zoo.INPUT_SHAPE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = tuned(inputs).numpy()
    new = answers(tmp_path / "tuned" / "compressed.onnx", inputs)
    assert np.allclose(new, expected, atol=1e-4 * np.abs(expected).max())
    assert not np.allclose(answers(run.directory / "compressed.onnx", inputs), expected, atol=1e-3)
    document = again.document
    assert document.compressed is not None
    assert run.document.compressed is not None
    assert document.compressed.macs == run.document.compressed.macs
    assert (document.accuracy, document.outputs) == (None, None)
    assert document.recovery[-1].method == "own training"
    assert document.surgery == run.document.surgery
    loaded = ep.load(tmp_path / "tuned").state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in tuned.state_dict().items())


@pytest.mark.parametrize("kind", ["safetensors", "pt"])
def test_the_command_takes_weights_as_they_are_saved(
    kind: str, run: CompressionReport, tuned: torch.nn.Module, tmp_path: Path
) -> None:
    file = tmp_path / f"tuned.{kind}"
    (save_file if kind == "safetensors" else torch.save)(tuned.state_dict(), file)
    ran = edgeprune("export", run.directory, "--weights", file, "-o", tmp_path / "new", *OLDER)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("accuracy")
    report = json.loads((tmp_path / "new" / "report.json").read_text())
    assert report["command"].startswith("edgeprune export")
    assert report["parity"]["max_rel_diff"] <= 1e-4


def test_another_network_is_refused_by_its_first_tensor(run: CompressionReport) -> None:
    with pytest.raises(ep.UsageError, match="has the shape"):
        run.reexport(zoo.build("chain"), bench=False)


def test_weights_for_what_is_no_run_are_refused(tmp_path: Path, chain: Path) -> None:
    file = tmp_path / "any.safetensors"
    save_file({"a": torch.zeros(1)}, file)
    ran = edgeprune("export", chain, "--weights", file)
    assert ran.code == 2
    assert "is for a run directory" in ran.error


def test_limits_are_checked_from_python(run: CompressionReport) -> None:
    (gate,) = ep.check(run, "ratio.macs > 0.9")
    assert gate.passed
    with pytest.raises(ep.GateFailed, match=r"ratio\.macs > 0\.1"):
        ep.check(run.directory, "ratio.macs > 0.1")
    with pytest.raises(ep.UsageError, match="a report"):
        ep.check(3)  # type: ignore[call-overload, unused-ignore]


def test_a_test_of_the_users_own_fails_where_a_limit_is_broken(
    run: CompressionReport, edgeprune_check: Any
) -> None:
    edgeprune_check(run, "ratio.macs > 0.9")
    with pytest.raises(pytest.fail.Exception, match="1 of 1 gates failed"):
        edgeprune_check(run.directory, "ratio.macs > 0.1")


def test_a_notebook_shows_rows_and_no_code_of_the_report(run: CompressionReport) -> None:
    shown = run._repr_html_()
    assert "not measured: pass --eval DIR" in shown
    assert "<script" not in shown


def test_files_are_exported_and_read_by_plain_calls(tmp_path: Path) -> None:
    exported = ep.export_model(
        zoo.build("chain"), tmp_path / "a.onnx", zoo.INPUT_SHAPE, target=ep.OnnxTarget(opset=17)
    )
    assert exported.path == tmp_path / "a.onnx"
    assert exported.parity.max_rel_diff <= 1e-4
    with pytest.raises(ep.UsageError, match=r"\.onnx"):
        ep.export_model(zoo.build("chain"), tmp_path / "a.tflite", zoo.INPUT_SHAPE)


def test_a_model_is_read_as_the_command_line_reads_it(chain: Path) -> None:
    source = ep.load_model(chain, (1, 3, 16, 16))
    assert source.input.shapes == ((1, 3, 16, 16),)
    with pytest.raises(ep.UsageError, match="no file"):
        ep.load_model("nothing.pt")
