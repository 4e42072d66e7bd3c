"""Trained networks and finished runs that many tests look at, each made once."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import digits as digits_files
import pytest
import torch
import zoo
from invocation import CHAIN_SHAPE, edgeprune

if TYPE_CHECKING:
    from pathlib import Path

BRIEF = ("--budget-time", "4s")

# Files run side by side, each with what it starts on one thread: more would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)


@dataclass(frozen=True)
class Finished:
    """A run that ended well: its directory and what the command printed."""

    directory: Path
    out: str
    err: str


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> digits_files.Digits:
    """A network trained on scikit-learn's digits, with its files."""
    return digits_files.written(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="session")
def digits_run(digits: digits_files.Digits, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The digits network compressed to 70 % of its MACs, judged on the test images."""
    run = tmp_path_factory.mktemp("digits-run") / "run"
    judged = ("--eval", digits.images, "--images", digits.images)
    settings = ("--target", "onnx", "--macs", "70%", "--no-bench", *digits.flags, *judged, *BRIEF)
    ran = edgeprune("compress", digits.whole, *settings, "-o", run)
    assert ran.code == 0, ran.err
    return Finished(run, ran.out, ran.err)


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a small network of ``torch.nn`` classes, which takes ``CHAIN_SHAPE``."""
    file = tmp_path_factory.mktemp("chain") / "chain.pt"
    torch.save(zoo.build("chain"), file)
    return file


@pytest.fixture(scope="session")
def pruned_chain(chain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of ``edgeprune prune`` on the chain; not to be written to."""
    run = tmp_path_factory.mktemp("pruned") / "run"
    ran = edgeprune("prune", chain, "--input", CHAIN_SHAPE, "-o", run)
    assert ran.code == 0, ran.err
    return run


@pytest.fixture(scope="session")
def whole_line(chain: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The chain through the whole line, measured, in a process of its own: -q and --json."""
    run = tmp_path_factory.mktemp("whole-line") / "made" / "run"
    measured = ("--seconds", "0.2", "-o", run)
    settings = ("--target", "onnx", "--input", CHAIN_SHAPE, *measured, *BRIEF)
    command = [sys.executable, "-m", "edgeprune", "compress", chain, *settings, "-q", "--json", "-"]
    ran = subprocess.run(map(str, command), capture_output=True, text=True, check=True)
    return Finished(run, ran.stdout, ran.stderr)
