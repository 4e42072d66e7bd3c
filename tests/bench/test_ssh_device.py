"""A real sshd on loopback stands for the board: nothing is mocked."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import private_sshd
import pytest
from waiting import eventually

from edgeprune import bench
from edgeprune.bench.devices import SshDevice
from edgeprune.bench.devices.local import WORKER
from edgeprune.bench.devices.transfer import packed
from edgeprune.bench.runtimes import RUNTIMES
from edgeprune.cli import main
from edgeprune.errors import DeviceFailed, DeviceLost

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    with private_sshd.running(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def board(sshd, tmp_path):
    """A device with a folder that only this test uses."""
    return SshDevice(
        "board", python=sys.executable, folder=str(tmp_path / "remote"), config=str(sshd.config)
    )


def request_of(model, **settings):
    adapter = str(RUNTIMES["onnxruntime"].adapter)
    return {
        "runtime": "onnxruntime",
        "adapter": adapter,
        "model": str(model),
        "warmup_s": 0,
        **settings,
    }


def processes_of(folder, program=""):
    """Processes whose command line speaks of a folder and begins with a program's path."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = path.read_text()
            mine = int(path.parent.name) == os.getpid()
            if str(folder) in command and command.startswith(program) and not mine:
                found.append(path.parent.name)
    return found


def gone(folder):
    """Whether all of a folder's processes end soon."""
    return eventually(lambda: not processes_of(folder))


def test_it_computes_there_what_it_computes_here(board, tiny, tmp_path):
    with board.start(request_of(tiny)) as worker:
        there = worker.outputs(3)
        assert len(worker.run(5)) == 5
        assert processes_of(tmp_path / "remote")
        worker.stop()
    here = bench.outputs(tiny, seed=3)
    assert all(np.array_equal(one, other) for one, other in zip(here, there, strict=True))
    assert gone(tmp_path / "remote")


def test_a_second_run_copies_nothing(board, tiny, tmp_path):
    def written():
        files = (tmp_path / "remote").rglob("*.*")
        return {file: file.stat().st_ino for file in files if file.suffix in (".py", ".onnx")}

    board.start(request_of(tiny)).close()
    first = written()
    adapter = "onnxruntime_adapter.py"
    program = {file.name for file in WORKER.glob("*.py")}
    assert {file.name for file in first} == {*program, adapter, tiny.name}
    board.start(request_of(tiny)).close()
    assert written() == first


def test_what_it_keeps_is_private_and_forgotten_after_a_week(board, tmp_path):
    board.visit()
    folder = tmp_path / "remote" / "edgeprune-bench"
    assert folder.stat().st_mode & 0o777 == 0o700
    for name, days in (("old", 8), ("young", 6)):
        (folder / name).mkdir()
        os.utime(folder / name, (then := time.time() - days * 24 * 3600, then))
    board.visit()
    assert [path.name for path in folder.iterdir()] == ["young"]


def test_a_folder_that_others_can_write_is_refused(board, tmp_path):
    (tmp_path / "remote" / "edgeprune-bench").mkdir(parents=True)
    (tmp_path / "remote" / "edgeprune-bench").chmod(0o777)
    with pytest.raises(DeviceFailed, match="written by others"):
        board.visit()


@pytest.mark.parametrize("ended", ["closed", "killed", "dropped"])
def test_keep_no_leaves_nothing_however_it_ends(ended, board, sshd, tiny, tmp_path):
    worker = replace(board, keep=False).start(request_of(tiny))
    folder = tmp_path / "remote" / "edgeprune-bench"
    assert list(folder.iterdir())
    if ended == "dropped":
        sshd.drop()
    elif ended == "killed":
        os.kill(worker.pid, 9)
    worker.close()
    assert eventually(lambda: not list(folder.iterdir()))
    assert gone(tmp_path / "remote")


def test_a_connection_that_breaks_is_lost_and_made_anew(board, sshd, tiny):
    with board.start(request_of(tiny)) as worker:
        sshd.drop()
        with pytest.raises(DeviceLost):
            worker.run(10_000)
    with board.start(request_of(tiny)) as worker:
        assert len(worker.run(3)) == 3


def test_a_measurement_survives_a_connection_that_breaks(board, sshd, tiny):
    drops = []

    def drop():
        eventually(lambda: processes_of(board.folder, board.python))  # there, not our ssh
        drops.append(len(sshd.connections()))
        sshd.drop()

    threading.Thread(target=drop, daemon=True).start()
    settings = bench.BenchSettings(device=board, seconds=0.01)
    found = bench.measure_alone(tiny, settings)
    assert drops
    assert found.measurement.sessions
    assert any("lost" in note for note in found.notes)


def test_a_directory_travels_whole(board, tmp_path):
    model = tmp_path / "model"
    (model / "weights").mkdir(parents=True)
    (model / "weights" / "a.bin").write_bytes(bytes(range(256)) * 5000)
    (model / "empty").write_bytes(b"")
    item = packed(model)
    there = Path(board.visit([item]).folder) / item.digest / "model"
    assert (there / "weights" / "a.bin").read_bytes() == (model / "weights" / "a.bin").read_bytes()
    assert (there / "empty").read_bytes() == b""


def test_a_file_that_changes_on_the_way_is_refused(board, tmp_path):
    (tmp_path / "model").write_bytes(b"one")
    item = packed(tmp_path / "model")
    (tmp_path / "model").write_bytes(b"two")
    with pytest.raises(DeviceFailed, match="damaged"):
        board.visit([item])
    assert list((tmp_path / "remote" / "edgeprune-bench").iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"python": "/no/python3"}, "there is no /no/python3 there"),
        ({"host": "nowhere.invalid"}, "no machine of that name"),
        ({"port": 1}, "nothing answers"),
        ({"host": "nobody-here@board"}, "refuses the login"),
        ({"config": "/no/config"}, "does not exist"),
    ],
    ids=["no python", "no host", "no sshd", "no user", "no config"],
)
def test_what_is_wrong_is_one_line_that_helps(changes, message, board):
    with pytest.raises(DeviceFailed, match=message) as failure:
        replace(board, **changes).visit()
    assert "\n" not in str(failure.value)


def test_a_host_key_must_be_known_and_the_same(board, sshd):
    known = sshd.folder / "known_hosts"
    right = known.read_text()
    try:
        known.write_text("")
        with pytest.raises(DeviceFailed, match="ssh-keyscan"):
            board.visit()
        known.write_text(f"{right.split()[0]} {(sshd.folder / 'user.pub').read_text()}")
        with pytest.raises(DeviceFailed, match="ssh-keygen -R"):
            board.visit()
        assert "\n" in known.read_text()  # nothing was added
    finally:
        known.write_text(right)


def test_a_runtime_that_is_not_there_says_how_to_install_it(board, tiny, tmp_path):
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(DeviceFailed, match="pip install"):
        replace(board, python=str(bare)).start(request_of(tiny))
    assert gone(tmp_path / "remote")


def test_a_full_disk_says_so(board, tmp_path):
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("needs root to make a small disk")
    disk = tmp_path / "remote"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "disk", disk])
    if made.returncode:
        pytest.skip("needs to mount a small disk")
    try:
        (tmp_path / "large").write_bytes(bytes(1 << 20))
        with pytest.raises(DeviceFailed, match="disk is full"):
            board.visit([packed(tmp_path / "large")])
        assert list((disk / "edgeprune-bench").iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)


def test_the_facts_are_those_of_the_machine(board):
    facts = board.visit(packages=["onnxruntime", "no-such-package-at-all"]).facts
    assert facts["machine"] == os.uname().machine
    assert facts["executable"] == sys.executable
    assert facts["packages"]["onnxruntime"] == RUNTIMES["onnxruntime"].installed()
    assert facts["packages"]["no-such-package-at-all"] is None


def test_the_command_line_measures_there(board, tiny, tmp_path, capsys):
    settings = f"python={board.python}&folder={board.folder}&config={board.config}"
    report = tmp_path / "report.json"
    flags = ("--device", f"ssh://board?{settings}", "--seconds", "0.01", "--json", str(report))
    assert main(["bench", str(tiny), *flags]) == 0
    written = json.loads(report.read_text())
    assert written["environment"]["device"] == "ssh://board"
    assert written["original"]["latency_s"]["n"] > 0
    capsys.readouterr()
    assert main(["doctor", "--device", f"ssh://board?{settings}"]) == 0
    assert f"onnxruntime {RUNTIMES['onnxruntime'].installed()}" in capsys.readouterr().out
    assert main(["doctor", "--device", f"ssh://board:1?{settings}"]) == 8
