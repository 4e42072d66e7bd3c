"""Recovery that is cut short goes on where it was, and the result is the same to the byte."""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import short_trainings
import torch
import zoo
from invocation import QUICK, edgeprune
from torch import nn

import edgeprune as ep
from edgeprune.cli import resuming
from edgeprune.recovery.training import feature_training

if TYPE_CHECKING:
    from collections.abc import Iterator

Tensors = dict[str, bytes]

SHAPE = "1x3x8x8"
STEPS = short_trainings.STEPS
STEP = re.compile(rf"step (\d+)/{STEPS}, loss [\d.e-]+")


@pytest.fixture(scope="module", autouse=True)
def brief() -> Iterator[None]:
    """Trainings here are as short as those of ``short_trainings.py``."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(feature_training, "STEPS", (STEPS, STEPS))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pruned network, ``run``, in a folder of its own."""
    folder = tmp_path_factory.mktemp("resumed")
    layers = zoo.conv_bn(3, 8, stride=2), zoo.conv_bn(8, 8), zoo.head(8)
    torch.save(nn.Sequential(*layers).eval(), folder / "net.pt")
    ran = edgeprune("prune", folder / "net.pt", "--input", SHAPE, "-o", folder / "run")
    assert ran.code == 0, ran.err
    return folder / "run"


@pytest.fixture(scope="module")
def uninterrupted(run: Path) -> Tensors:
    """The weights that training gives when nothing comes between."""
    ran = edgeprune("recover", run, "--recover", "supervise", "-o", run.with_name("whole"))
    assert ran.code == 0, ran.err
    return tensors(run.with_name("whole"))


def tensors(run: Path) -> Tensors:
    return {name: each.numpy().tobytes() for name, each in ep.load(run).state_dict().items()}


def same(run: Path, wanted: Tensors) -> bool:
    """Whether a run ended with the same weights, to the byte."""
    found = tensors(run)
    return found == wanted and list(found) == list(wanted)


def interrupted(folder: Path) -> str:
    """Recover on a terminal, and end it once some steps are done; what the terminal showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, short_trainings.__file__, "recover", "run", "--recover", "supervise"],
        cwd=folder,
        stderr=theirs,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "TERM": "xterm"},
        # Where tests run in the background of a shell, SIGINT is ignored and children inherit that.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    os.close(theirs)
    shown, sent = "", False
    while True:
        try:
            shown += os.read(ours, 4096).decode(errors="replace")
        except OSError:  # the other end is closed
            break
        if not sent and any(int(step) >= 20 for step in STEP.findall(shown)):
            process.send_signal(signal.SIGINT)
            sent = True
    os.close(ours)
    assert process.wait(timeout=60) == 130, shown
    return shown


def test_training_that_is_interrupted_goes_on_to_the_same_weights(
    run: Path, uninterrupted: Tensors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run, "run")
    state = resuming.state_of(Path("runs/net"))
    for _ in range(8):
        shown = " ".join(interrupted(tmp_path).split())
        if state.exists():
            break
        # It came while weights were being changed: they are half old, half new, and not kept.
        assert "no file was left half written" in shown
        assert not Path("runs").exists()
    assert "--resume goes on from" in shown
    (kept,) = (path for path in state.rglob("*") if path.is_file())
    done = torch.load(kept, weights_only=True)["state"]["record"]["step"]
    assert 20 <= done < STEPS
    ran = edgeprune("recover", "run", "--recover", "supervise", "--resume")
    assert ran.code == 0
    assert "nothing to resume" not in ran.err
    assert same(Path("runs/net"), uninterrupted)
    assert [path.name for path in Path("runs").iterdir()] == ["net"]


def test_resuming_without_a_state_starts_anew_and_says_so(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = edgeprune("recover", run, "--recover", "analytic", "--resume", "-o", "done")
    assert ran.code == 0
    assert "nothing to resume in 'done.partial'" in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["done"]


def test_a_failed_export_leaves_what_recovery_has_done(
    run: Path, uninterrupted: Tensors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.chdir(tmp_path)
    plan, model = run / "plan.json", run.with_name("net.pt")
    flags = (*QUICK, "--recover", "supervise", "--input", SHAPE, "-o", "done")
    with monkeypatch.context() as patched:
        patched.setattr("edgeprune.export.onnx.write", fail)
        ran = edgeprune("apply", plan, model, *flags)
    assert ran.code == 1
    assert ran.err.endswith("--resume goes on from what recovery has done so far\n")
    (kept,) = (path for path in resuming.state_of(Path("done")).rglob("*") if path.is_file())
    assert torch.load(kept, weights_only=True)["state"]["record"]["step"] == STEPS
    ran = edgeprune("apply", plan, model, *flags, "--resume")
    assert ran.code == 0
    assert same(Path("done"), uninterrupted)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["done"]


def test_without_resume_an_old_state_is_discarded_and_nothing_else(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state = resuming.state_of(Path("done"))
    state.mkdir(parents=True)
    (state / "old.pt").write_text("of an earlier run")
    (state.parent / "thesis.txt").write_text("years of work")
    assert edgeprune("recover", run, "--recover", "analytic", "-o", "done").code == 0
    assert [path.name for path in state.parent.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("flags", [(), ("--resume",)])
def test_the_state_of_a_run_that_is_at_work_is_left_to_it(
    flags: tuple[str, ...], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state = resuming.state_of(Path("done"))
    state.mkdir(parents=True)
    (state / "step.pt").write_text("of the other run")
    holding = "import sys, pathlib; from edgeprune import drafts\nwith drafts.drafting"
    program = f"{holding}(pathlib.Path('done')): print('held', flush=True); sys.stdin.read()"
    command, pipe = [sys.executable, "-c", program], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        ran = edgeprune("recover", run, "--recover", "analytic", "-o", "done", *flags)
        assert ran.code == 0
        assert "another run is at work on 'done'" in ran.err
        assert (state / "step.pt").read_text() == "of the other run"
        other.kill()
    assert ep.load("done")
