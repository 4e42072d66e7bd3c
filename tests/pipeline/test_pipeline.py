"""The whole line on a network that was trained on real images: what it reports is true."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
import torch
import zoo
from digits import Digits, guesses, normalised, pictures
from fake_clock import replace_clocks
from sklearn.metrics import accuracy_score
from torch import nn
from traced_zoo import unchanged

import edgeprune as ep
from edgeprune.artifacts import InputSpec, PrunedModel, no_progress
from edgeprune.errors import UsageError
from edgeprune.graph import recording
from edgeprune.moments import propagation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUICK = ep.OnnxTarget(opset=17)


@pytest.fixture(scope="session")
def report(digits_run: Any) -> dict[str, Any]:
    return dict(json.loads((digits_run.directory / "report.json").read_text()))


@contextmanager
def masked(module: nn.Module, plan: dict[str, Any]) -> Iterator[nn.Module]:
    """The digits network with the channels that ``plan`` removes set to zero after their ReLU."""
    layers = dict(module.named_children())
    hooks = []
    for group in plan["groups"]:
        mask = torch.zeros(group["width"])
        mask[group["kept"]] = 1
        relu = layers[str(int(group["group"]) + 2)]
        hooks.append(
            relu.register_forward_hook(lambda _, __, y, mask=mask: y * mask[:, None, None])
        )
    try:
        yield module
    finally:
        for hook in hooks:
            hook.remove()


def accuracy_of(found: Any) -> float:
    return float(accuracy_score(pictures()[3], found))


def test_the_digits_network_reads_digits(digits: Digits) -> None:
    assert accuracy_of(guesses(digits.module)) >= 0.97


def test_reported_accuracy_is_what_scikit_learn_counts(
    digits: Digits, digits_run: Any, report: dict[str, Any]
) -> None:
    plan = json.loads((digits_run.directory / "plan.json").read_text())
    with masked(digits.module, plan) as without:
        pruned = accuracy_of(guesses(without))
    original = accuracy_of(guesses(digits.module))
    recovered = accuracy_of(guesses(ep.load(digits_run.directory)))
    found = dict(report["accuracy"])
    assert found.pop("low") <= original - recovered <= found.pop("high")
    assert found == {
        "metric": "top-1",
        "n": len(pictures()[3]),
        "original": original,
        "pruned": pytest.approx(pruned, abs=1 / 540),  # one image may lie on the border
        "recovered": recovered,
        "drop": pytest.approx(original - recovered),
        "quantized": None,
    }


def test_compression_keeps_accuracy(report: dict[str, Any]) -> None:
    assert report["ratio"]["macs"] == pytest.approx(0.7, abs=0.01)
    assert report["accuracy"]["recovered"] >= 0.9
    assert report["accuracy"]["recovered"] >= report["accuracy"]["pruned"] - 0.01


def test_reported_agreement_is_an_independent_count(
    digits: Digits, digits_run: Any, report: dict[str, Any]
) -> None:
    files = sorted(digits.images.rglob("*.png"))
    unseen = [int(file.stem) for file in files[4::5]]  # recovery fits to the others
    wanted = guesses(digits.module)[unseen]
    recovered = guesses(ep.load(digits_run.directory))[unseen]
    agreement = report["agreement"]
    assert agreement["n"] == len(wanted)
    assert agreement["recovered"] == np.mean(wanted == recovered)
    assert agreement["pruned"] <= agreement["recovered"] + 0.01
    assert agreement["source"] == str(digits.images)


def test_onnx_scores_what_pytorch_scores(digits_run: Any, report: dict[str, Any]) -> None:
    session = onnxruntime.InferenceSession(
        digits_run.directory / "compressed.onnx", providers=["CPUExecutionProvider"]
    )
    images = normalised(pictures()[1])
    logits = np.concatenate([session.run(None, {"input": image[None]})[0] for image in images])
    with torch.no_grad():
        wanted = ep.load(digits_run.directory)(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(logits, wanted, atol=1e-4 * np.abs(wanted).max())
    assert accuracy_of(logits.argmax(1)) == report["accuracy"]["recovered"]


def test_the_files_know_their_origin(digits_run: Any, report: dict[str, Any]) -> None:
    session = onnxruntime.InferenceSession(digits_run.directory / "compressed.onnx")
    assert session.get_modelmeta().custom_metadata_map["source_sha256"] == report["model"]["sha256"]
    plan = json.loads((digits_run.directory / "plan.json").read_text())
    assert plan["model_sha256"] == report["model"]["sha256"]


def quick(**changes: Any) -> ep.CompressConfig:
    return ep.CompressConfig(**({"target": None, "bench": None, "recover": ()} | changes))


def test_a_run_without_a_directory_takes_its_files_away() -> None:
    found = ep.compress(zoo.build("chain"), zoo.INPUT_SHAPE, quick())
    directory = found.directory
    assert (directory / "report.json").is_file()
    del found
    assert not directory.exists()


def test_a_run_that_fails_takes_its_files_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(ep.RecoveryMethod):
        def __call__(self, *_: object) -> PrunedModel:
            raise ArithmeticError("broken")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ArithmeticError) as caught:
        ep.compress(zoo.build("chain"), zoo.INPUT_SHAPE, quick(recover=(Broken(),)))
    del caught
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_recovery_method_is_refused_before_any_work() -> None:
    class Misspelt:
        timedd = True

        def __call__(self, *_: object) -> PrunedModel:
            raise AssertionError

    with pytest.raises(UsageError, match=r"Misspelt is no recovery method: derive it from"):
        quick(recover=(Misspelt(),))


def test_the_same_seed_gives_the_same_plan_and_draws_from_no_global_generator() -> None:
    before = torch.random.get_rng_state()
    one, other = (ep.compress(zoo.build("chain"), zoo.INPUT_SHAPE, quick()) for _ in range(2))
    assert one.compressed.plan == other.compressed.plan
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_stage_that_is_not_asked_for_is_skipped() -> None:
    found = ep.compress(zoo.build("chain"), zoo.INPUT_SHAPE, quick())
    status = {stage.name: stage.status for stage in found.document.stages}
    assert {name for name, how in status.items() if how == "skipped"} == {
        "recover",
        "export",
        "bench",
        "alternatives",
    }
    assert found.document.parity is None
    assert found.document.recovery == ()


def require_refused_at_once(message: str, **settings: Any) -> None:
    """A run with such settings ends before any stage has started."""
    started: list[str] = []

    def listen(stage: str) -> Any:
        started.append(stage)
        return no_progress

    with pytest.raises(UsageError, match=message):
        ep.compress(zoo.build("chain"), zoo.INPUT_SHAPE, quick(**settings), stages=listen)
    assert started == []


@pytest.mark.parametrize(
    "expression",
    ["accuracy.drop > 1%", "agreement.recovered < 0.9", "parity.max_rel_diff > 0.1",
     "size.ratio > 0.9", "latency.ratio.high > 0.8", "ratio.peak_rss > 1"],
)  # fmt: skip
def test_gates_on_what_will_not_be_known_stop_the_run_before_it_starts(expression: str) -> None:
    require_refused_at_once("gate", fail_if=(expression,))


def test_images_that_do_not_fit_stop_the_run_before_it_starts(digits: Digits) -> None:
    require_refused_at_once("10 class folders", eval_images=digits.images)


def chain(**changes: Any) -> ep.CompressionReport:
    return ep.compress(zoo.build("chain"), zoo.INPUT_SHAPE, quick(**changes))


def test_images_that_do_not_do_what_they_were_made_for_are_no_silent_matter() -> None:
    # One step of a generator is noise.
    noise = ep.Reconstruct(source=ep.Generated(steps=1), images=64)
    found = chain(recover=(noise,))
    (step,) = found.document.recovery
    assert step.quality is not None
    assert (step.quality.imagined, step.quality.passed) == (True, False)
    (stage,) = (stage for stage in found.document.stages if stage.name == "recover")
    assert stage.status == "degraded"
    assert (
        "synthesized for reconstruct do not match the original's BatchNorm statistics"
        in stage.detail
    )
    assert (found.directory / "images.safetensors").is_file()
    assert (found.directory / "images.png").is_file()


def test_images_that_were_kept_are_fitted_to_again(tmp_path: Path) -> None:
    made = chain(recover=(ep.Reconstruct(source=ep.Generated(steps=1), images=64),))
    shutil.copy(made.directory / "images.safetensors", tmp_path / "mine.safetensors")
    again = chain(recover=(ep.Reconstruct(),), images=tmp_path / "mine.safetensors")
    assert again.document.recovery[0].detail == made.document.recovery[0].detail
    assert again.document.agreement is None
    weights = (each.compressed.module.state_dict() for each in (made, again))
    for one, other in zip(*(each.values() for each in weights), strict=True):
        assert torch.equal(one, other)


def test_synthesis_and_time_reach_the_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_clocks(monkeypatch, tick=0.01)
    method = ep.Supervise(images=64, steps=5000)
    found = chain(recover=(method,), synthesis=ep.PinkNoise(), budget_time=3.0)
    (step,) = found.document.recovery
    assert "images (procedural, pink noise)" in step.detail
    assert 0 < step.curve[-1][0] < 5000
    assert step.seconds < 4


def test_a_workspace_spares_what_was_done_before(tmp_path: Path) -> None:
    workspace = tmp_path / "state"
    methods = (ep.Supervise(images=64, steps=30), ep.Supervise(images=64, steps=20))
    first = chain(recover=methods, workspace=workspace)
    assert len(list(workspace.rglob("*.pt"))) == 2
    heard: list[str] = []
    config = quick(recover=methods, workspace=workspace)
    again = ep.compress(
        zoo.build("chain"),
        zoo.INPUT_SHAPE,
        config,
        stages=lambda stage: lambda share, doing: heard.append(doing),
    )
    assert not any("step" in doing for doing in heard)
    weights = (each.compressed.module.state_dict() for each in (first, again))
    for one, other in zip(*(each.values() for each in weights), strict=True):
        assert torch.equal(one, other)
    curves = [[step.curve for step in each.document.recovery] for each in (first, again)]
    assert curves[0] == curves[1]


def test_a_survey_changes_nothing() -> None:
    module = zoo.build("residual")
    wrapped = ep.wrap(module, zoo.INPUT_SHAPE)
    with unchanged(wrapped.module):
        traced, costs = ep.survey(wrapped)
    assert traced.prunable
    assert costs.macs > 0
    assert wrapped.input == InputSpec((zoo.INPUT_SHAPE,))


def test_the_original_is_recorded_once_and_its_moments_propagated_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    network, seen = zoo.build("residual"), {"recorded": 0, "propagated": 0}
    record, propagate = recording.trace_operators, propagation._reads_by_layer

    def recorded(module: nn.Module, *given: Any) -> Any:
        same = [p.shape for p in module.parameters()] == [p.shape for p in network.parameters()]
        seen["recorded"] += same
        return record(module, *given)

    def propagated(*given: Any) -> Any:
        seen["propagated"] += 1
        return propagate(*given)

    monkeypatch.setattr(recording, "trace_operators", recorded)
    monkeypatch.setattr(propagation, "_reads_by_layer", propagated)
    methods = (ep.Lbyl(), ep.Auto(images=8, steps=2))
    config = ep.CompressConfig(recover=methods, target=QUICK, bench=None)
    ep.compress(network, zoo.INPUT_SHAPE, config, directory=tmp_path / "run")
    assert seen == {"recorded": 1, "propagated": 1}
