"""The whole line on a network that was trained on real images: what it reports is true."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import zoo
from digits import Digits, guesses, normalised, pictures
from sklearn.metrics import accuracy_score
from torch import nn

import edgeprune as ep
from edgeprune.artifacts import InputSpec, PrunedModel, RecoveryStep, TracedModel
from edgeprune.errors import UsageError

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
    assert report["accuracy"] == {
        "metric": "top-1",
        "n": len(pictures()[3]),
        "original": original,
        "pruned": pytest.approx(pruned, abs=1 / 540),  # one image may lie on the border
        "recovered": recovered,
        "drop": pytest.approx(original - recovered),
    }


def test_compression_keeps_accuracy(report: dict[str, Any]) -> None:
    assert report["ratio"]["macs"] == pytest.approx(0.7, abs=0.01)
    assert report["accuracy"]["recovered"] >= 0.9
    assert report["accuracy"]["recovered"] >= report["accuracy"]["pruned"] - 0.01


def test_reported_agreement_is_an_independent_count(
    digits: Digits, digits_run: Any, report: dict[str, Any]
) -> None:
    wanted = guesses(digits.module)
    recovered = guesses(ep.load(digits_run.directory))
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


class Later:
    """A user's criterion: channels matter the more, the later they come."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, filters: Any, scales: Any, generator: torch.Generator) -> list[torch.Tensor]:
        self.asked += 1
        return [1 + torch.arange(len(rows), dtype=torch.float32) for rows in filters]


class Doubled:
    """A user's recovery: every parameter of the last layer times two."""

    def __call__(
        self, traced: TracedModel, pruned: PrunedModel, progress: object = None
    ) -> PrunedModel:
        module = copy.deepcopy(pruned.module)
        for parameter in list(module.modules())[-1].parameters():
            parameter.data *= 2
        step = RecoveryStep("doubled", 0.0, 0, "times two")
        return replace(pruned, module=module, recovered_by=(*pruned.recovered_by, step))


@pytest.fixture(scope="session")
def original() -> nn.Module:
    return zoo.build("chain").train()


@pytest.fixture(scope="session")
def weights_before(original: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in original.state_dict().items()}


@pytest.fixture(scope="session")
def compressed(original: nn.Module, weights_before: Any) -> ep.CompressionReport:
    """The chain compressed from Python, with a user's own criterion and recovery, and measured."""
    config = ep.CompressConfig(
        budget=ep.Params(0.6),
        criterion=Later(),
        recover=(Doubled(),),
        target=QUICK,
        bench=ep.BenchSettings(seconds=0.2),
    )
    return ep.compress(original, torch.zeros(4, *zoo.INPUT_SHAPE[1:]), config)


def test_the_network_given_is_not_changed(
    original: nn.Module, weights_before: dict[str, torch.Tensor], compressed: ep.CompressionReport
) -> None:
    assert original.training
    for name, tensor in original.state_dict().items():
        assert torch.equal(tensor, weights_before[name]), name
    assert compressed.compressed.module is not original


def test_a_users_criterion_decides_which_channels_stay(compressed: ep.CompressionReport) -> None:
    groups = compressed.compressed.plan.groups
    assert groups
    for entry in groups:
        assert entry.kept == tuple(range(entry.width - len(entry.kept), entry.width))


def test_a_users_recovery_is_applied_and_told(
    original: nn.Module, compressed: ep.CompressionReport
) -> None:
    last = list(compressed.compressed.module.modules())[-1]
    wanted = list(original.modules())[-1]
    assert torch.equal(last.bias, 2 * wanted.bias)
    assert [step.method for step in compressed.document.recovery] == ["doubled"]


def test_parameters_are_those_of_the_modules(
    original: nn.Module, compressed: ep.CompressionReport
) -> None:
    before, after = (
        sum(parameter.numel() for parameter in module.parameters())
        for module in (original, compressed.compressed.module)
    )
    assert compressed.document.original.params == before
    assert compressed.document.compressed is not None
    assert compressed.document.compressed.params == after
    assert compressed.ratio is not None
    assert compressed.ratio.params == after / before
    assert compressed.document.budget is not None
    assert compressed.document.budget.reached == pytest.approx(after / before)


def test_latency_comes_with_its_interval(compressed: ep.CompressionReport) -> None:
    assert compressed.ratio is not None
    latency = compressed.ratio.latency
    assert latency is not None
    assert 0 < latency.low <= latency.value <= latency.high


def test_the_compressed_network_is_in_eval_mode_and_takes_any_batch(
    compressed: ep.CompressionReport,
) -> None:
    module = compressed.compressed.module
    assert not any(part.training for part in module.modules())
    with torch.no_grad():
        assert module(torch.zeros(3, *zoo.INPUT_SHAPE[1:])).shape == (3, 5)


def test_a_saved_report_loads_bit_for_bit(compressed: ep.CompressionReport, tmp_path: Path) -> None:
    saved = compressed.save(tmp_path / "new" / "run")
    wanted = compressed.compressed.module.state_dict()
    got = ep.load(saved).state_dict()
    assert got.keys() == wanted.keys()
    for name, tensor in got.items():
        assert torch.equal(tensor, wanted[name]), name
    for file in compressed.directory.iterdir():
        assert (saved / file.name).read_bytes() == file.read_bytes()
    assert [entry.name for entry in saved.parent.iterdir()] == ["run"]


def test_save_refuses_what_is_there_and_leaves_it(
    compressed: ep.CompressionReport, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("untouched")
    with pytest.raises(UsageError, match="exists"):
        compressed.save(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine"]


def test_save_that_fails_leaves_nothing(
    compressed: ep.CompressionReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[str] = []
    copy_one = shutil.copyfile

    def full(source: Any, target: Any, **options: Any) -> Any:
        if copied:
            raise OSError(28, "no space left on device")
        copied.append(str(source))
        return copy_one(source, target, **options)

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OSError, match="no space"):
        compressed.save(tmp_path / "run")
    assert copied
    assert list(tmp_path.iterdir()) == []


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
    class Broken:
        def __call__(self, *_: object) -> PrunedModel:
            raise ArithmeticError("broken")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ArithmeticError) as caught:
        ep.compress(zoo.build("chain"), zoo.INPUT_SHAPE, quick(recover=(Broken(),)))
    del caught
    assert list(tmp_path.iterdir()) == []


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
    }
    assert found.document.parity is None
    assert found.document.recovery == ()


@pytest.mark.parametrize(
    "expression",
    ["accuracy.drop > 1%", "agreement.recovered < 0.9", "parity.max_rel_diff > 0.1",
     "size.ratio > 0.9", "latency.ratio.high > 0.8", "ratio.peak_rss > 1"],
)  # fmt: skip
def test_gates_on_what_will_not_be_known_stop_the_run_before_it_starts(expression: str) -> None:
    started: list[str] = []

    def listen(stage: str) -> Any:
        started.append(stage)
        return lambda share, doing: None

    with pytest.raises(UsageError, match="gate"):
        ep.compress(
            zoo.build("chain"), zoo.INPUT_SHAPE, quick(fail_if=(expression,)), stages=listen
        )
    assert started == []


def test_images_that_do_not_fit_stop_the_run_before_it_starts(digits: Digits) -> None:
    started: list[str] = []

    def listen(stage: str) -> Any:
        started.append(stage)
        return lambda share, doing: None

    with pytest.raises(UsageError, match="10 classes"):
        ep.compress(
            zoo.build("chain"), zoo.INPUT_SHAPE, quick(eval_images=digits.images), stages=listen
        )
    assert started == []


def test_hashes_and_sizes_are_those_of_the_files(compressed: ep.CompressionReport) -> None:
    for side, name in (
        (compressed.document.original, "original.onnx"),
        (compressed.document.compressed, "compressed.onnx"),
    ):
        assert side is not None
        assert side.onnx is not None
        content = (compressed.directory / name).read_bytes()
        assert (side.onnx.path, side.onnx.bytes) == (name, len(content))
        assert side.onnx.sha256 == hashlib.sha256(content).hexdigest()


def test_a_survey_changes_nothing() -> None:
    module = zoo.build("residual")
    wrapped = ep.wrap(module, zoo.INPUT_SHAPE)
    before = {name: tensor.clone() for name, tensor in wrapped.module.state_dict().items()}
    traced, costs = ep.survey(wrapped)
    assert traced.prunable
    assert costs.macs > 0
    assert wrapped.input == InputSpec((zoo.INPUT_SHAPE,))
    for name, tensor in wrapped.module.state_dict().items():
        assert torch.equal(tensor, before[name])
