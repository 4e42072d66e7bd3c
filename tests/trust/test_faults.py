"""Whatever call fails, wherever a run is killed: nothing earlier is lost, nothing lies about."""

from __future__ import annotations

import errno
import sys
from typing import TYPE_CHECKING

import pytest

if sys.platform != "linux":
    pytest.skip("calls are told apart by /proc", allow_module_level=True)

import fault_runs
from fault_injection import CALLS, FULL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fault_runs import Met, Scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A folder with a model and an earlier run."""
    with fault_runs.quick():
        yield fault_runs.scene(tmp_path_factory.mktemp("faults") / "work")


def described(found: list[Met]) -> str:
    return "\n".join(f"{met.kind} {met.number}, {met.call}: {met.broken}" for met in found)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        *((kind, errno.ENOSPC) for kind in (*CALLS, FULL)),
        *((kind, errno.EIO) for kind in ("rename", "fsync")),
    ],
)
def test_a_call_that_fails_costs_no_earlier_run_and_leaves_nothing(
    kind: str, error: int, scene: Scene
) -> None:
    met = list(fault_runs.survived(scene, kind, error))
    assert len(met) >= len(fault_runs.RESULTS)  # each of them is opened, written, synced and moved
    assert not [each for each in met if each.broken], described([m for m in met if m.broken])
    assert any(each.code == 2 for each in met)
    assert all(each.code == 2 for each in met) or kind in ("open", "mkdir")


def test_a_killed_run_is_resumed_to_the_same_bytes(tmp_path: Path) -> None:
    met = fault_runs.killed_in_a_process(tmp_path, "supervise", "stage")
    assert {"trace", "prune", "recover", "save", "export compressed"} <= {m["stage"] for m in met}
    assert not [each for each in met if each["broken"]]
    assert all(each["code"] == -9 for each in met)
    assert any(each["resumable"] for each in met)


def test_between_two_renames_too_a_kill_loses_nothing(tmp_path: Path) -> None:
    met = fault_runs.killed_in_a_process(tmp_path, "analytic", "rename", fault_runs.TWO_RENAMES)
    assert not [each for each in met if each["broken"]]
    moved = [each for each in met if str(each["call"]).endswith("/replaced")]
    assert len(moved) == 1  # and the one behind it found the place empty
