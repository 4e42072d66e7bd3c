"""A device that is not there is found before long work; one that fails later loses no work."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zoo
from invocation import CHAIN_SHAPE, edgeprune

import edgeprune as ep
from edgeprune.bench.devices import LocalDevice, QemuArm64Device, arm64_root
from edgeprune.bench.worker_process import Worker
from edgeprune.errors import DeviceFailed
from edgeprune.report.files import decode

if TYPE_CHECKING:
    from collections.abc import Mapping

QUICK = ("--opset", "17", "--macs", "80%", "--recover", "none", "--seconds", "0.1")
WORK = re.compile(r"\] (trace|prune|recover|export)")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compress(chain: Path, *flags: object) -> Any:
    return edgeprune("compress", chain, "--input", CHAIN_SHAPE, *QUICK, *flags)


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine starts the runtime, and fails with every model."""
    start = LocalDevice.start

    def failing(device: LocalDevice, request: Mapping[str, object]) -> Worker:
        if "model" not in request:
            return start(device, request)
        return Worker([sys.executable, "-c", "raise SystemExit(9)"], request, limit_s=60)

    monkeypatch.setattr(LocalDevice, "start", failing)


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("ssh://no-such-board.invalid", "no-such-board"),
        ("ssh://127.0.0.1:9", "127.0.0.1"),
        ("qemu-arm64", "doctor --setup qemu-arm64"),
    ],
)
def test_a_device_that_is_not_there_is_named_before_any_work(
    address: str, named: str, chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEPRUNE_CACHE", str(Path.cwd() / "cache"))
    ran = compress(chain, "--device", address)
    assert ran.code == 8
    assert named in ran.error
    assert not WORK.search(ran.err)
    assert not Path("runs").exists()


def test_a_runtime_that_does_not_start_is_named_before_any_work(
    chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(device: LocalDevice, request: Mapping[str, object]) -> Worker:
        answer = '{"error": "libonnxruntime.so: cannot open shared object file"}'
        return Worker([sys.executable, "-c", f"print('{answer}')"], request, limit_s=60)

    monkeypatch.setattr(LocalDevice, "start", broken)
    ran = compress(chain)
    assert ran.code == 8
    assert "libonnxruntime.so" in ran.error
    assert not WORK.search(ran.err)
    assert not Path("runs").exists()


def test_what_an_emulator_cannot_do_is_said_before_any_work(
    chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arm64_root, "find", lambda: arm64_root.Arm64Root(Path("root")))
    ran = compress(chain, "--device", QemuArm64Device.name, "--threads", "2")
    assert ran.code == 2
    assert "--threads 1" in ran.error
    assert not WORK.search(ran.err)


def test_a_device_is_not_asked_for_where_nothing_is_measured(chain: Path) -> None:
    away = ("--device", "ssh://no-such-board.invalid")
    assert compress(chain, *away, "--no-bench", "-o", "run").code == 0


@pytest.mark.usefixtures("dying")
def test_a_run_whose_measurement_fails_stays_whole(chain: Path) -> None:
    ran = compress(chain, "--fail-if", "latency.ratio.high > 0.5", "-o", "my run")
    assert ran.code == 8
    assert "exit code 9" in ran.error
    assert "edgeprune bench 'my run'" in ran.error
    assert len(ran.error.splitlines()) == 2
    run = Path("my run")
    report = decode(run)
    (failed,) = (stage for stage in report.stages if stage.status == "failed")
    assert failed.name == "bench"
    assert "exit code 9" in failed.detail
    assert report.gates == ()
    assert report.parity is not None
    assert report.ratio is not None
    assert report.ratio.latency is None
    assert report.ratio.bytes is not None
    assert ep.load(run)
    names = {path.name for path in run.iterdir()}
    assert {"plan.json", "recipe.yaml", "original.onnx", "compressed.onnx", "report.md"} <= names
    assert [path.name for path in Path().iterdir()] == ["my run"]
    assert "failed" in (run / "report.md").read_text()


@pytest.mark.usefixtures("dying")
def test_a_run_whose_files_of_two_precisions_cannot_be_compared_stays_whole(chain: Path) -> None:
    ran = compress(chain, "--precision", "auto", "-o", "run")
    assert ran.code == 8
    assert "exit code 9" in ran.error
    failed = [stage.name for stage in decode(Path("run")).stages if stage.status == "failed"]
    assert failed == ["mix precisions", "bench int8 / fp32", "bench"]
    assert Path("run/compressed.onnx").is_file()
    assert ep.load("run")


@pytest.mark.usefixtures("dying")
def test_a_run_whose_measurement_fails_prints_its_report(chain: Path) -> None:
    ran = compress(chain, "--json", "-", "-o", "run")
    assert ran.code == 8
    assert json.loads(ran.out) == json.loads(Path("run/report.json").read_text())


def test_from_python_a_failed_measurement_is_told_and_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Deaf:
        """A device of one's own, which cannot be tried beforehand."""

        name, measures = "deaf", "latency"

        def start(self, request: Mapping[str, object]) -> Worker:
            assert request["model"]
            raise DeviceFailed("it hears nothing")

    settings = ep.BenchSettings(device=Deaf())
    config = ep.CompressConfig(recover=(), target=ep.OnnxTarget(opset=17), bench=settings)
    report = ep.compress(zoo.build("chain"), zoo.INPUT_SHAPE, config)
    assert report.failure is not None
    assert report.failure.detail == "it hears nothing"
    assert (report.directory / "compressed.onnx").is_file()
    quiet = ep.compress(
        zoo.build("chain"), zoo.INPUT_SHAPE, ep.CompressConfig(recover=(), target=None, bench=None)
    )
    assert quiet.failure is None


def test_a_run_directory_is_measured_afterwards(digits_run: Any) -> None:
    flags = ("--seconds", "0.1", "--json", "report.json")
    ran = edgeprune("bench", digits_run.directory, *flags)
    assert ran.code == 0
    measured, compressed = decode(Path("report.json")), decode(digits_run.directory)
    assert measured.ratio is not None
    assert measured.ratio.latency is not None
    assert compressed.compressed is not None
    assert measured.original.onnx.sha256 == compressed.original.onnx.sha256
    assert measured.compressed is not None
    assert measured.compressed.onnx.sha256 == compressed.compressed.onnx.sha256


@pytest.mark.parametrize("second", [False, True])
def test_what_is_no_pair_of_files_is_refused(second: bool, pruned_chain: Path) -> None:
    ran = edgeprune("bench", pruned_chain, *([pruned_chain] if second else []))
    assert ran.code == 2
    assert ("one run directory alone" if second else "original.onnx") in ran.error
