"""A run that is ended from outside leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_run_that_is_ended_exits_with_130_and_leaves_nothing(
    ending: signal.Signals, tmp_path: Path
) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
    torch.save(network.eval(), tmp_path / "net.pt")
    run = subprocess.Popen(
        [sys.executable, "-m", "edgeprune", "compress", "net.pt", "--input", "1x3x16x16"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # Where tests run in the background of a shell, SIGINT is ignored and children inherit that.
        preexec_fn=partial(signal.signal, ending, signal.SIG_DFL),
    )
    with run:
        assert run.stderr is not None
        for line in run.stderr:
            if "export" in line:  # the run directory's draft is there
                assert [path.name for path in tmp_path.iterdir()] != ["net.pt"]
                run.send_signal(ending)
                break
        errors = run.stderr.read()
    assert run.returncode == 130
    assert "interrupted" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt"]
