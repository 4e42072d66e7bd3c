"""A worker that fails, dies or hangs becomes one error, and leaves no process behind."""

from __future__ import annotations

import json
import os
import signal
import sys

import numpy as np
import pytest
from waiting import ended, eventually

from edgeprune.bench import LocalDevice, Worker
from edgeprune.errors import DeviceFailed

READY = json.dumps(
    {
        "load_s": 1.0,
        "first_s": 1.0,
        "run_s": 1.0,
        "baseline_rss_bytes": 1,
        "idle_rss_bytes": 1,
        "load_peak_rss_bytes": 1,
        "environment": {},
    }
)


def pretend(script, limit_s=30.0):
    """A child that runs ``script`` in the place of a worker."""
    command = [sys.executable, "-c", f"import sys, os, time\n{script}"]
    return Worker(command, {"model": "m.onnx"}, limit_s=limit_s)


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_worker_runs_and_stops(tiny):
    with LocalDevice().start({"model": str(tiny), "warmup_s": 0}) as worker:
        samples = worker.run(4)
        final = worker.stop()
        assert gone(worker.pid)
        with pytest.raises(DeviceFailed, match="has ended"):
            worker.run(1)
    assert len(samples) == 4
    assert all(sample > 0 for sample in samples)
    assert worker.ready.load_peak_rss_bytes >= worker.ready.idle_rss_bytes >= 0
    assert final.run_peak_rss_bytes >= worker.ready.idle_rss_bytes
    assert final.profile_peak_bytes is None
    assert worker.ready.baseline_rss_bytes > 2**20


def test_error_of_the_worker_is_ours():
    with pytest.raises(DeviceFailed, match=r"^no such accelerator$") as raised:
        pretend("""print('{"error": "no such accelerator"}')""")
    assert raised.value.exit_code == 8


def test_death_is_an_error_with_the_last_line_of_standard_error():
    with pytest.raises(DeviceFailed, match=r"died \(exit code 3\): out of luck"):
        pretend("print('out of luck', file=sys.stderr); sys.exit(3)")


def test_death_by_signal_is_an_error_with_its_name():
    with pytest.raises(DeviceFailed, match=r"died \(signal SIGABRT\)"):
        pretend("os.abort()")


def test_death_between_requests_is_noticed(tiny):
    with LocalDevice().start({"model": str(tiny), "warmup_s": 0}) as worker:
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(DeviceFailed, match="SIGKILL"):
            worker.run(1)


def test_output_that_is_no_answer_is_an_error():
    with pytest.raises(DeviceFailed, match="'Welcome to Board OS', not JSON"):
        pretend("print('Welcome to Board OS', flush=True); time.sleep(60)")


def test_an_answer_in_another_dialect_is_refused():
    with pytest.raises(DeviceFailed, match="another version of edgeprune"):
        pretend("""print('{"hello": 1}', flush=True); time.sleep(60)""")


def test_hanging_at_the_start_ends_at_the_limit():
    with pytest.raises(DeviceFailed, match=r"the model did not answer within 0\.3 s"):
        pretend("time.sleep(60)", limit_s=0.3)


def test_hanging_in_a_run_ends_at_the_limit_and_with_it_the_process():
    worker = pretend(f"print('{READY}', flush=True); time.sleep(60)", limit_s=5.0)
    worker._limit_s = 0.3
    with worker, pytest.raises(DeviceFailed, match=r"the model did not answer within 0\.3 s"):
        worker.run(3)
    assert gone(worker.pid)


def test_what_the_worker_started_ends_with_it():
    script = f"""
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, file=sys.stderr, flush=True)
print('{READY}', flush=True)
time.sleep(60)
"""
    with pretend(script) as worker:
        worker._errors.seek(0)
        grandchild = int(worker._errors.read())
    assert eventually(lambda: ended(grandchild))


def test_an_interpreter_that_is_not_there_is_named():
    with pytest.raises(DeviceFailed, match="cannot start /no/python"):
        LocalDevice(python="/no/python").start({"model": "m.onnx"})


def test_a_runtime_that_is_not_installed_is_named(tmp_path):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('no onnxruntime here')")
    shadowed = tmp_path / "python"
    shadowed.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    shadowed.chmod(0o755)
    with pytest.raises(DeviceFailed, match=r"no onnxruntime here in .*: pip install"):
        LocalDevice(python=str(shadowed)).start({"model": "m.onnx"})


def test_a_runtime_unknown_to_the_worker_is_named(tiny):
    with pytest.raises(DeviceFailed, match="no runtime is called 'abacus'"):
        LocalDevice().start({"model": str(tiny), "runtime": "abacus"})


def test_inputs_of_every_kind_are_drawn_and_outputs_keep_type_and_shape(many_kinds):
    with LocalDevice().start({"model": str(many_kinds), "warmup_s": 0}) as worker:
        first, again, other = (worker.outputs(seed) for seed in (5, 5, 6))
    assert [(a.dtype, a.shape) for a in first] == [(np.float32, (2, 1, 3)), (np.float32, ())]
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, same)
    assert not np.array_equal(first[0], other[0])
