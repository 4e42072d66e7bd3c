"""Every exit code of the contract, from the mistake or the accident that it stands for."""

from __future__ import annotations

import os
import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from invocation import CHAIN_SHAPE, edgeprune
from torch import nn

from edgeprune.bench.devices import LocalDevice
from edgeprune.bench.devices.local import WORKER
from edgeprune.bench.worker_process import Worker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from digits import Digits


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines(text: str) -> int:
    return len(text.splitlines())


@pytest.mark.parametrize(
    ("flag", "typo", "meant"),
    [
        ("--importance", "l22", "'l2'"),
        ("--recover", "none,lbly", "'lbyl'"),
        ("--synthesis", "inversoin", "'inversion'"),
        ("--target", "onxx", "'onnx'"),
        ("--device", "locl", "'local'"),
        ("--runtime", "onnxruntim", "'onnxruntime'"),
        ("--scope", "globl", "global"),
    ],
)
def test_an_unknown_name_ends_with_2_and_a_suggestion(
    flag: str, typo: str, meant: str, chain: Path
) -> None:
    ran = edgeprune("compress", chain, "--input", CHAIN_SHAPE, flag, typo)
    assert ran.code == 2
    assert meant in ran.error
    assert lines(ran.error) <= 2
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "flags",
    [
        ("--macs", "50%", "--params", "50%"),
        ("--macs", "half"),
        ("--macs", "200%"),
        ("--ratio", "1"),
        ("--unit", "0"),
        ("--budget-time", "soon"),
        ("--budget-time", "0"),
        ("--budget-time", "-5s"),
        ("--budget-time", "10 minutes"),
        ("--images", "nowhere"),
        ("--mean", "a,b,c"),
        ("--mean", "0.5,0.5"),
        ("--threads", "0"),
        ("--seconds", "0"),
        ("--input", "3x16x16"),
        ("--input", "1x4x16x16"),
        ("--input", "wide"),
        ("--fail-if", "latency.ration.high > 0.8"),
        ("--fail-if", "macs.ratio >"),
        ("--arch", "torchvision:resnet18"),
        ("--arch-arg", "num_classes"),
        ("--eval", "nowhere"),
        ("--no-such-flag",),
    ],
)
def test_settings_that_cannot_work_end_with_2(flags: tuple[str, ...], chain: Path) -> None:
    shape = () if "--input" in flags else ("--input", CHAIN_SHAPE)
    ran = edgeprune("compress", chain, *shape, *flags)
    assert ran.code == 2
    assert "trace" not in ran.err
    assert "Traceback" not in ran.err
    assert not Path("runs").exists()


def test_an_input_that_cannot_be_inferred_is_asked_for(chain: Path) -> None:
    ran = edgeprune("compress", chain)
    assert ran.code == 2
    assert "--input 1x3xHxW" in ran.error


@pytest.mark.parametrize("command", ["compress", "inspect", "prune", "export"])
def test_a_model_that_is_not_there_ends_with_2(command: str) -> None:
    ran = edgeprune(command, "nowhere.pt")
    assert ran.code == 2
    assert "nowhere.pt" in ran.error


def test_weights_need_their_architecture(digits: Digits) -> None:
    bare = edgeprune("inspect", digits.weights, "--input", "1x1x8x8")
    assert bare.code == 2
    assert "--arch" in bare.error
    arch = ("--arch", f"{digits.factory}:make")
    whole, filled = (
        edgeprune("inspect", *model, "--input", "1x1x8x8", "--json", "-").out
        for model in ((digits.whole,), (digits.weights, *arch))
    )
    assert filled.replace("digits-weights", "digits") == whole
    wrong = edgeprune("inspect", digits.weights, "--arch", f"{digits.factory}:build")
    assert wrong.code == 2
    assert "'build'" in wrong.error


class Malicious:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch code-ran",)


def test_a_malicious_pickle_ends_with_4_and_names_what_it_calls() -> None:
    torch.save({"state_dict": {}, "extra": Malicious()}, "net.pt")
    ran = edgeprune("compress", "net.pt")
    assert ran.code == 4
    assert re.search(r"(posix|nt)\.system", ran.error)
    assert lines(ran.error) <= 2
    assert not Path("code-ran").exists()


def test_torchscript_ends_with_4_and_says_what_to_do() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions of PyTorch call it deprecated
        torch.jit.save(torch.jit.script(nn.ReLU()), "net.pt")
    ran = edgeprune("compress", "net.pt")
    assert ran.code == 4
    assert "TorchScript" in ran.error
    assert "--arch" in ran.error


@pytest.mark.parametrize(
    "content", [b"", b"not a model", b"PK\x03\x04 cut off", b"<html>", b"\x80\x02}q\x00."]
)
def test_a_file_that_is_no_model_ends_with_4(content: bytes) -> None:
    Path("net.pt").write_bytes(content)
    ran = edgeprune("inspect", "net.pt")
    assert ran.code == 4
    assert "net.pt" in ran.error


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Linear(12, 4)),
        nn.Sequential(nn.Flatten(), nn.Softmax(1)),
        nn.Linear(12, 4),
    ],
    ids=["only an output", "no layer with channels", "a bare layer"],
)
def test_a_network_without_anything_to_prune_ends_with_5(network: nn.Module) -> None:
    torch.save(network.eval(), "net.pt")
    ran = edgeprune("compress", "net.pt", "--input", "1x12")
    assert ran.code == 5
    assert lines(ran.error) <= 2
    assert not Path("runs").exists()


@pytest.mark.parametrize("kind", ["macs", "params"])
def test_a_budget_out_of_reach_ends_with_6_and_names_one_within(kind: str, chain: Path) -> None:
    ran = edgeprune("prune", chain, "--input", CHAIN_SHAPE, f"--{kind}", "1%")
    assert ran.code == 6
    nearest = re.search(r"nearest is (\d+\.\d+%)", ran.error)
    assert nearest
    assert edgeprune("prune", chain, "--input", CHAIN_SHAPE, f"--{kind}", nearest[1]).code == 0


DEAD_WORKERS: Mapping[str, tuple[list[str], str]] = {
    "crash": (["-c", "import os; os.kill(os.getpid(), 9)"], "SIGKILL"),
    "no runtime": (["-I", "-S", "WORKER"], "onnxruntime|numpy"),
    "nonsense": (["-c", "print('hello')"], "hello"),
}


@pytest.mark.parametrize("how", DEAD_WORKERS)
def test_a_runtime_that_fails_ends_with_8(
    how: str, digits_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, message = DEAD_WORKERS[how]

    def start(device: LocalDevice, request: Mapping[str, object]) -> Worker:
        typed = [str(WORKER) if argument == "WORKER" else argument for argument in arguments]
        return Worker([sys.executable, *typed], request, limit_s=60)

    monkeypatch.setattr(LocalDevice, "start", start)
    ran = edgeprune("bench", digits_run.directory / "compressed.onnx", "--seconds", "0.1")
    assert ran.code == 8
    assert re.search(message, ran.error)
    assert lines(ran.error) <= 2


def test_only_verbose_shows_where_a_refusal_comes_from() -> None:
    Path("net.pt").write_bytes(b"PK\x03\x04 cut off")
    assert "Traceback" not in edgeprune("inspect", "net.pt").err
    verbose = edgeprune("inspect", "net.pt", "-v")
    assert "Traceback" in verbose.err
    assert "ModelRefused" in verbose.err
    assert verbose.code == 4
