"""Real aarch64 kernels under real emulation: what is counted is work, and the same every time."""

from __future__ import annotations

import shlex

import numpy as np
import onnx
import private_sshd
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeprune import bench
from edgeprune.bench import instructions
from edgeprune.bench.devices import LocalDevice, QemuArm64Device, SshDevice, arm64_root
from edgeprune.cli import main
from edgeprune.costs import count_onnx
from edgeprune.errors import DeviceFailed, UsageError
from edgeprune.report import files


@pytest.fixture(scope="session")
def arm64():
    """The set-up in the cache folder, made where it is not: CI keeps EDGEPRUNE_CACHE."""
    if missing := arm64_root.missing_packages():
        pytest.skip(f"needs {' '.join(missing)}")
    try:
        return arm64_root.build(lambda share, doing: None)
    except DeviceFailed as error:
        if "fetching" not in str(error):
            raise
        pytest.skip(f"cannot download: {error}")


def convolution(path, width):
    """Two 3 × 3 convolutions of ``width`` channels on 32 × 32 pixels."""
    draw = np.random.default_rng(0).standard_normal
    weights = [
        numpy_helper.from_array(draw((width, width, 3, 3), dtype="f4"), f"w{n}") for n in range(2)
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["h"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Conv", ["r", "w1"], ["y"], pads=[1, 1, 1, 1]),
    ]
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width, 32, 32]) for name in "xy"
    )
    graph = helper.make_graph(nodes, path.stem, [x], [y], weights)
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("convolutions")
    return convolution(folder / "wide.onnx", 32), convolution(folder / "narrow.onnx", 16)


@pytest.fixture(scope="module")
def counted(arm64, models, tmp_path_factory):
    """The report of the command line on both models, and its exit code."""
    path = tmp_path_factory.mktemp("counted") / "report.json"
    gates = ("--fail-if", "ratio.instructions > 0.6", "--fail-if", "instructions < 1000")
    flags = ("--device", "qemu-arm64", "--json", str(path), *gates)
    code = main(["-q", "bench", *map(str, models), *flags])
    return files.decode(path), code


def test_an_instruction_does_a_few_multiplications(counted, models):
    report, _ = counted
    for model, side in zip(models, (report.original, report.compressed), strict=True):
        macs = count_onnx(model).macs
        # Neon multiplies and adds four numbers at once; loading them takes about as many again
        assert macs / 4 < side.instructions.per_inference < macs


def test_counts_are_a_ratio_that_gates_can_judge(counted):
    report, code = counted
    sides = (report.original.instructions, report.compressed.instructions)
    assert report.ratio.instructions == sides[1].per_inference / sides[0].per_inference
    assert [gate.passed for gate in report.gates] == [True, True]
    assert code == 0


def test_no_report_has_emulated_time_and_memory(counted):
    report, _ = counted
    for side in (report.original, report.compressed):
        assert side.latency_s is side.first_s is side.load_s is None
        assert side.peak_rss_bytes is side.idle_rss_bytes is None
    assert report.ratio.latency is report.ratio.peak_rss is None
    assert any("no latency" in note for note in report.notes)
    assert report.environment["machine"] == "aarch64"


def test_arm_computes_what_this_machine_does(counted):
    report, _ = counted
    for side in (report.original, report.compressed):
        assert 0 <= side.instructions.host_max_rel_diff < 1e-5


def test_counts_repeat_within_a_hundredth_of_a_percent(counted, models):
    report, _ = counted
    settings = bench.BenchSettings(device=QemuArm64Device())
    again = instructions.measure(models[0], settings).measurement
    first = report.original.instructions
    samples = (*first.samples, *again.samples)
    assert (max(samples) - min(samples)) / first.per_inference < 1e-4
    assert first.repeat < 1e-4


def test_nothing_is_counted_where_no_emulator_is(tiny):
    with (
        LocalDevice().start({"model": str(tiny), "warmup_s": 0}) as worker,
        pytest.raises(DeviceFailed, match="qemu-arm64"),
    ):
        worker.instructions(1)


@pytest.mark.parametrize(
    "asked", [{"threads": 2}, {"runtime": "abacus"}], ids=["threads", "runtime"]
)
def test_what_it_cannot_do_is_refused(asked):
    with pytest.raises(UsageError, match="qemu-arm64"):
        QemuArm64Device().start(asked)


def test_without_set_up_it_says_how(tmp_path, monkeypatch, models, capsys):
    monkeypatch.setenv("EDGEPRUNE_CACHE", str(tmp_path))
    assert main(["bench", str(models[0]), "--device", "qemu-arm64"]) == 8
    assert "doctor --setup qemu-arm64" in capsys.readouterr().err


def test_gates_on_what_is_not_measured_are_refused_before(models, capsys):
    for device, gate in (("qemu-arm64", "latency.ratio > 1"), ("local", "instructions.ratio > 1")):
        arguments = (*map(str, models), "--device", device, "--fail-if", gate)
        assert main(["bench", *arguments]) == 2
        assert "has no value" in capsys.readouterr().err


def test_missing_programs_are_named_with_their_packages(tmp_path, monkeypatch):
    (tmp_path / "apt-get").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceFailed, match="apt-get install qemu-user gcc libc6-dev"):
        arm64_root.build(lambda share, doing: None)


def test_an_interrupted_set_up_leaves_nothing(tmp_path, monkeypatch):
    if arm64_root.missing_packages():
        pytest.skip("needs what the set-up needs")
    monkeypatch.setenv("EDGEPRUNE_CACHE", str(tmp_path))

    def interrupt(share, doing):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        arm64_root.build(interrupt)
    assert [path.name for path in tmp_path.rglob("*")] == ["qemu-arm64"]


def test_an_arm_board_behind_a_forced_command_is_a_device(arm64, models, tmp_path):
    python, forced = tmp_path / "python", tmp_path / "forced"
    python.write_text(f'#!/bin/sh\nexec {shlex.join(arm64.command())} "$@"\n')
    forced.write_text('#!/bin/sh\nexec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n')
    for script in (python, forced):
        script.chmod(0o755)
    (tmp_path / "sshd").mkdir()
    with private_sshd.running(tmp_path / "sshd", str(forced)) as sshd:
        board = SshDevice(
            "board", python=str(python), folder=str(tmp_path), config=str(sshd.config), keep=False
        )
        settings = bench.BenchSettings(device=board)
        with bench.start_worker(models[1], settings, lambda share, doing: None, warm_up_s=0) as it:
            assert it.ready.environment["machine"] == "aarch64"
            (there,) = it.outputs(0)
    (here,) = bench.outputs(models[1])
    assert np.abs(here - there).max() < 1e-5 * np.abs(here).max()
