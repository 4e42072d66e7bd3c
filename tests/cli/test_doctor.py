import json
from pathlib import Path

import pytest

from edgeprune import bench
from edgeprune.choices import Choices
from edgeprune.cli import doctor, main
from edgeprune.report import environment

ARM = "processor : 0\nFeatures\t: fp asimd crc32 asimddp\nModel\t\t: Raspberry Pi 5\n"
X86 = "model name\t: Abacus 9000\nflags\t\t: sse avx2 avx512f avx512_vnni\n"


def require(monkeypatch: pytest.MonkeyPatch, *requirements: str) -> None:
    monkeypatch.setattr(environment, "requirements", lambda: requirements)


def test_all_there_ends_with_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    require(monkeypatch, "click>=8", "numpy", "pytest>=900; extra == 'test'")
    assert main(["doctor", "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    assert [package["name"] for package in found["packages"]] == ["click", "numpy"]
    assert all(package["ok"] for package in found["packages"])
    assert found["runtimes"]["onnxruntime"] == environment.installed("onnxruntime")
    assert list(found["devices"]) == list(bench.DEVICES)
    assert found["devices"]["local"] is True


@pytest.mark.parametrize("requirement", ["click>=999", "click<1", "no-such-package-at-all>=2"])
def test_what_is_missing_or_does_not_fit_ends_with_8(
    requirement: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    require(monkeypatch, requirement)
    assert main(["doctor"]) == 8
    out, err = capsys.readouterr()
    assert "missing" in out or "does not fit" in out
    assert f"pip install '{requirement}'" in err


def test_no_runtime_ends_with_8(monkeypatch: pytest.MonkeyPatch) -> None:
    require(monkeypatch, "click")
    monkeypatch.setattr(bench, "RUNTIMES", Choices("runtime", {}))
    assert main(["doctor"]) == 8


def test_a_source_tree_that_is_not_installed_ends_with_8(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "requirements", lambda: None)
    assert main(["doctor", "--json", "-"]) == 8
    out, err = capsys.readouterr()
    assert json.loads(out)["ok"] is False
    assert "not installed" in err


def test_the_table_says_what_the_json_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    require(monkeypatch, "click>=8")
    main(["doctor"])
    text = capsys.readouterr().out
    found = doctor.diagnose(["click>=8"])
    for line in (
        found.python,
        found.machine,
        *(
            f"{name} {version or 'not installed: ' + bench.RUNTIMES[name].install}"
            for name, version in found.runtimes.items()
        ),
        *(f"{name} {'can be used' if usable else ''}" for name, usable in found.devices.items()),
    ):
        assert line in text


@pytest.mark.parametrize(
    ("cpuinfo", "cpu", "features"),
    [
        (ARM, "Raspberry Pi 5", {"neon", "dotprod"}),
        (X86, "Abacus 9000", {"avx2", "avx512f", "vnni"}),
    ],
)
def test_cpus_of_two_kinds_are_read(cpuinfo: str, cpu: str, features: set[str]) -> None:
    assert environment.cpu_model(cpuinfo) == cpu
    found = environment.cpu_features(cpuinfo)
    assert found is not None
    assert {name for name, there in found.items() if there} == features


def test_a_system_that_does_not_tell_is_unknown_and_not_without() -> None:
    assert environment.cpu_features("") is None


def test_an_unknown_set_up_lists_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--setup", "abacus"]) == 2
    assert "qemu-arm64" in capsys.readouterr().err


def test_a_device_that_is_not_set_up_ends_with_8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEPRUNE_CACHE", str(tmp_path))
    assert main(["doctor", "--device", "qemu-arm64"]) == 8
    assert "--setup qemu-arm64" in capsys.readouterr().err
    require(monkeypatch, "click")
    assert main(["doctor", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["devices"]["qemu-arm64"] is False


def test_this_machine_is_a_device_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--device", "local", "--json", "-"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["device"] == "local"
    assert "onnxruntime" in facts["packages"]
