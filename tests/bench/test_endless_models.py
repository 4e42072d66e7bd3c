"""A model that never answers costs the time that was asked for, and no process outlives us."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from conftest import save
from onnx import TensorProto, helper
from waiting import ended, eventually

from edgeprune import bench
from edgeprune.bench.devices import QemuArm64Device, SshDevice
from edgeprune.bench.devices.local import WORKER
from edgeprune.bench.worker_process import Worker
from edgeprune.errors import DeviceFailed

HOLDING = """
import ctypes
from pathlib import Path

class Adapter:
    packages = {}

    def __init__(self, threads):
        Path(__file__).with_name("busy").touch()
        ctypes.PyDLL(None).sleep(600)  # computes without ever letting Python run
"""

WATCHED = """
import ctypes, sys
sys.path.insert(0, sys.argv[1])
import leash
leash.SLACK_S = 0.0
leash.end_after(60.0)
leash.end_after(None)
leash.end_after(0.2)
ctypes.PyDLL(None).sleep(600)
"""


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    """A loop whose condition stays true."""
    scalar = lambda name, kind: helper.make_tensor_value_info(name, kind, [])  # noqa: E731
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Neg", ["v"], ["w"])],
        "body",
        [
            scalar("step", TensorProto.INT64),
            scalar("on", TensorProto.BOOL),
            scalar("v", TensorProto.FLOAT),
        ],
        [scalar("still", TensorProto.BOOL), scalar("w", TensorProto.FLOAT)],
    )
    return save(
        tmp_path_factory.mktemp("models") / "endless.onnx",
        [helper.make_node("Loop", ["", "true", "x"], ["y"], body=body)],
        [("x", TensorProto.FLOAT, [])],
        [("y", TensorProto.FLOAT, [])],
        [("true", np.array(True))],
    )


class Watched:
    """This machine; it remembers the processes."""

    name, measures = "watched", "latency"

    def __init__(self):
        self.requests = []

    def start(self, request):
        self.requests.append(request)
        return bench.LocalDevice().start(request)


@pytest.mark.parametrize("first", [True, False])
def test_a_loop_without_end_is_given_up_after_the_time_asked_for(first, endless, tiny, monkeypatch):
    monkeypatch.setattr(bench, "GRACE_S", 4.0)
    device = Watched()
    settings = bench.BenchSettings(device=device, seconds=0.5)
    models = (endless, tiny) if first else (tiny, endless)
    with pytest.raises(DeviceFailed, match=r"did not answer within 4\.5 s.*--seconds"):
        bench.compare(*models, settings)
    assert {request["limit_s"] for request in device.requests} == {4.5}


def test_the_time_asked_for_counts_where_a_device_has_no_limit_of_its_own():
    assert bench.LocalDevice().limit_s is None
    assert SshDevice("board").limit_s is None
    assert QemuArm64Device().limit_s > 600  # emulation is slow, and no time is asked for
    command, request = [sys.executable, "-c", "import time; time.sleep(60)"], {"limit_s": 0.2}
    with pytest.raises(DeviceFailed, match=r"the runtime did not answer within 0\.2 s"):
        Worker(command, request)
    with pytest.raises(DeviceFailed, match=r"within 0\.1 s"):
        Worker(command, request, limit_s=0.1)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such call")
def test_a_worker_that_lets_no_thread_run_ends_with_its_parent(tmp_path):
    (tmp_path / "holding_adapter.py").write_text(HOLDING)
    request = {"runtime": "holding", "adapter": str(tmp_path / "holding_adapter.py"), "model": "x"}
    program = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, {str(WORKER)!r}], stdin=subprocess.PIPE, text=True)
child.stdin.write({json.dumps(request)!r} + chr(10))
child.stdin.flush()
print(child.pid, flush=True)
time.sleep(600)
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert eventually((tmp_path / "busy").exists)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert eventually(lambda: ended(child))


def test_a_process_that_lets_no_thread_run_ends_when_nobody_waits_any_more():
    ran = subprocess.run([sys.executable, "-c", WATCHED, str(WORKER)], capture_output=True)
    assert ran.returncode == 1
    assert ran.stdout == ran.stderr == b""
