"""Real models on this machine: never a speed, only what must hold whatever the speed."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from waiting import eventually

from edgeprune import bench
from edgeprune.errors import DeviceFailed, UsageError

SHORT = bench.BenchSettings(seconds=0.01)


@dataclass(frozen=True)
class Watched:
    """The local device, with a diary of who ran."""

    diary: list = field(default_factory=list)
    name: str = "watched"
    measures: str = "latency"

    def start(self, request):
        worker = bench.LocalDevice().start(request)
        number, run = len({name for name, _ in self.diary}), worker.run
        self.diary.append(("ABCDEFGH"[number], 0))

        def noted(n):
            self.diary.append(("ABCDEFGH"[number], n))
            return run(n)

        worker.run = noted
        return worker


@pytest.fixture(scope="module")
def against_itself(tiny):
    watched = Watched()
    settings = bench.BenchSettings(seconds=0.01, device=watched)
    shares = []
    comparison = bench.compare(tiny, tiny, settings, lambda share, _: shares.append(share))
    return comparison, watched.diary, shares


def test_blocks_of_real_models_alternate(against_itself):
    comparison, diary, _ = against_itself
    order = "".join(name for name, runs in diary if runs)
    sessions = [len(session.blocks_s) // 2 for session in comparison.original.sessions]
    assert order == "ABBA" * sessions[0] + "CDDC" * sessions[1]
    for names, measured in (("AD", comparison.original), ("BC", comparison.compressed)):
        assert [len(block) for block in measured.blocks_s] == [
            runs for who, runs in diary if who in names and runs
        ]


def test_samples_of_real_models_are_finite(against_itself):
    comparison, _, _ = against_itself
    for measured in (comparison.original, comparison.compressed):
        assert all(0 < s < math.inf for block in measured.blocks_s for s in block)
        assert all(session.load_s > 0 and session.first_s > 0 for session in measured.sessions)
    assert 0 < comparison.latency.low <= comparison.latency.value <= comparison.latency.high


def test_memory_of_real_models_adds_up(against_itself):
    comparison, _, _ = against_itself
    for session in (*comparison.original.sessions, *comparison.compressed.sessions):
        assert session.load_peak_rss_bytes >= session.idle_rss_bytes >= 0
        assert session.run_peak_rss_bytes >= session.idle_rss_bytes
        assert session.baseline_rss_bytes > 2**20


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no cores to choose here")
def test_both_models_stay_on_one_core_a_thread(against_itself, tiny):
    (core,) = {tuple(against_itself[0].environment["pinned"])}
    assert set(core) <= os.sched_getaffinity(0)
    wanted = max(os.sched_getaffinity(0))
    with bench.start_worker(tiny, SHORT, lambda *_: None, cores=[wanted]) as worker:
        tasks = Path(f"/proc/{worker.pid}/task")

        def affinities():
            with contextlib.suppress(ProcessLookupError):  # one has ended meanwhile
                return {tuple(os.sched_getaffinity(int(task.name))) for task in tasks.iterdir()}

        # the watchdog of the request that loaded the model, older than the pinning, is ending
        assert eventually(lambda: affinities() == {(wanted,)})
        assert worker.ready.environment["pinned"] == [wanted]
        assert worker.ready.environment["cores"] == len(os.sched_getaffinity(0))


def test_the_environment_describes_machine_and_runtime(against_itself):
    environment = against_itself[0].environment
    assert set(environment) >= {
        *("machine", "cpu", "cores", "threads", "governor", "os", "python", "packages"),
        *("runtime", "device", "load_average"),
    }
    assert (environment["runtime"], environment["device"]) == ("onnxruntime", "watched")
    assert environment["threads"] == 1
    assert set(environment["packages"]) == {"onnxruntime", "numpy"}
    assert set(environment["load_average"]) == {"start", "end"}


def test_progress_starts_at_nothing_and_ends_at_all(against_itself):
    shares = against_itself[2]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere idle memory is an upper bound")
def test_weights_are_seen_in_memory(tiny, heavy):
    light, weighty = (bench.measure(model, SHORT).sessions[0] for model in (tiny, heavy))
    assert weighty.idle_rss_bytes - light.idle_rss_bytes > 30e6
    assert weighty.load_peak_rss_bytes - light.load_peak_rss_bytes > 30e6


def test_a_single_model_comes_with_its_environment(tiny):
    single = bench.measure_alone(tiny, bench.BenchSettings(seconds=0.01, threads=2))
    assert single.environment["threads"] == 2
    assert single.environment["device"] == "local"
    assert len(single.measurement.sessions) == 2


def test_outputs_are_what_the_weights_say(tiny):
    """Linear in the weights, so the products of a doubled file are twice as large."""
    model = onnx.load(tiny)
    weight = numpy_helper.to_array(model.graph.initializer[0])
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(2 * weight, "w"))
    doubled = tiny.with_name("doubled.onnx")
    onnx.save(model, doubled)
    (once,), (twice,) = bench.outputs(tiny, SHORT, seed=3), bench.outputs(doubled, SHORT, seed=3)
    assert once.shape == (1, 64)
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-5)


def test_seeds_reproduce_outputs(tiny):
    (first,), (other,), (again,) = bench.outputs_of_seeds(tiny, SHORT, (1, 2, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(bench.outputs(tiny, SHORT, seed=1)[0], first)


def test_a_file_that_is_no_model_fails_on_the_runtime(tmp_path):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"not a model")
    with pytest.raises(DeviceFailed, match=r"onnxruntime cannot load bad\.onnx"):
        bench.measure(bad, SHORT)


def test_a_second_file_that_is_no_model_leaves_no_process(tiny, tmp_path):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"not a model")
    pids = []

    class Counting(Watched):
        def start(self, request):
            worker = bench.LocalDevice().start(request)
            pids.append(worker.pid)
            return worker

    with pytest.raises(DeviceFailed, match=r"bad\.onnx"):
        bench.compare(tiny, bad, bench.BenchSettings(device=Counting()))
    assert len(pids) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_missing_file_is_the_users_error(tiny, tmp_path):
    with pytest.raises(UsageError, match="no model file at"):
        bench.compare(tiny, tmp_path / "none.onnx", SHORT)


@pytest.mark.parametrize(
    "wrong",
    [
        {"threads": 0},
        {"seconds": 0.0},
        {"seconds": math.nan},
        {"seconds": math.inf},
        {"seed": -1},
        {"runtime": "abacus"},
        {"within": 0.0},
        {"within": 1.0},
        {"within": math.nan},
        {"runtime": "openvino", "arena": False},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(UsageError):
        bench.BenchSettings(**wrong)


INTERRUPTED = """
import pathlib, signal, sys
from edgeprune import bench
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored

class Loud:
    name = "loud"
    measures = "latency"
    def start(self, request):
        worker = bench.LocalDevice().start(request)
        print(worker.pid, flush=True)
        return worker

model = pathlib.Path(sys.argv[1])
def progress(share, doing):
    if doing == "session 2":
        print("timing", flush=True)
bench.compare(model, model, bench.BenchSettings(device=Loud(), seconds=60), progress)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_leaves_no_process(tiny):
    command = [sys.executable, "-c", INTERRUPTED, str(tiny)]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as process:
        pids = [int(process.stdout.readline()) for _ in range(2)]
        assert process.stdout.readline() == "timing\n"
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=30)[1]
    assert "KeyboardInterrupt" in errors
    assert process.returncode != 0
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_bench_needs_no_torch():
    script = "import edgeprune.bench, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
