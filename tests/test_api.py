"""``import edgeprune as ep``: the public names, what importing costs, compressing from Python."""

from __future__ import annotations

import copy
import hashlib
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
import zoo
from torch import nn

import edgeprune as ep
from edgeprune.artifacts import Note, PrunedModel, RecoveryStep, TracedModel
from edgeprune.errors import ModelUnsupported, UsageError

if TYPE_CHECKING:
    from pathlib import Path

QUICK = ep.OnnxTarget(opset=17)


@pytest.mark.parametrize("name", ep.__all__)
def test_every_public_name_resolves_and_has_a_docstring(name: str) -> None:
    found = getattr(ep, name)
    assert callable(found)
    assert found.__doc__
    assert name in dir(ep)


def test_tracing_ends_at_the_time_limit_of_the_call() -> None:
    class Endless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.calls = nn.Conv2d(3, 8, 3), 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            end = time.thread_time() + 30 * (self.calls > 1)  # it has been run once
            while time.thread_time() < end:
                sum(range(1000))
            return self.conv(x)

    source = ep.wrap(nn.Conv2d(3, 8, 3), (1, 3, 8, 8))
    endless = Endless()
    endless(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ModelUnsupported, match=r"more than 0\.2 s"):
        ep.trace(replace(source, module=endless), time_limit_s=0.2)


def test_public_names_are_sorted_and_single() -> None:
    assert ep.__all__ == sorted(set(ep.__all__))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'compres'"):
        ep.compres  # noqa: B018


def modules_after(program: str) -> set[str]:
    """Names of the top-level modules that a fresh Python has imported after ``program``."""
    program += "; import sys; print(*(m for m in sys.modules if '.' not in m))"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(ran.stdout.split())


def test_importing_edgeprune_imports_nothing_heavy() -> None:
    loaded = modules_after("import edgeprune; dir(edgeprune)")
    assert "edgeprune" in loaded
    assert not loaded & {"torch", "torchvision", "torch_pruning", "numpy", "onnx", "onnxruntime"}


def test_measuring_needs_no_torch() -> None:
    loaded = modules_after("import edgeprune; edgeprune.benchmark; edgeprune.BenchSettings")
    assert not loaded & {"torch", "torchvision", "torch_pruning"}


class Later:
    """A user's criterion: channels matter the more, the later they come."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, traced: TracedModel, generator: torch.Generator) -> dict[str, torch.Tensor]:
        self.asked += 1
        return {group.name: 1 + torch.arange(group.width).double() for group in traced.prunable}


class Doubled(ep.RecoveryMethod):
    """A user's recovery: every parameter of the last layer times two."""

    def __call__(
        self, traced: TracedModel, pruned: PrunedModel, context: ep.RecoveryContext
    ) -> PrunedModel:
        module = copy.deepcopy(pruned.module)
        for parameter in list(module.modules())[-1].parameters():
            parameter.data *= 2
        step = RecoveryStep("doubled", 0.0, 0, (Note("text", {"text": "times two"}),))
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
