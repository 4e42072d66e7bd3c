"""Drafts of killed processes go, and come back what they held; those of living ones stay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from edgeprune import drafts
from edgeprune.drafts import drafting, sweep

if TYPE_CHECKING:
    from pathlib import Path

OWNER = """
import os, signal, sys
from pathlib import Path
from edgeprune import drafts
with drafts.drafting(Path(sys.argv[1])) as draft:
    (draft / "half").write_text("half")
    print(draft.name, flush=True)
    sys.stdin.read()
"""

MAKER = """
import os, sys
from pathlib import Path
from edgeprune.drafts import drafting, sweep
folder = Path(sys.argv[1])
for number in range(60):
    with drafting(folder / f"run-{number % 3}") as draft:
        (draft / "file").write_text(str(os.getpid()))
        sweep(folder)
        assert (draft / "file").read_text() == str(os.getpid())
"""


def owned(place: Path) -> subprocess.Popen[str]:
    """A process that holds a draft of the place until it is ended."""
    return subprocess.Popen(
        [sys.executable, "-c", OWNER, place],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def dead(place: Path, *held: str) -> Path:
    """A draft whose owner was killed, with these folders in it."""
    draft = place.with_name(f".{place.name}.draft-0123abc_")
    for name in held:
        (draft / name).mkdir(parents=True)
    draft.mkdir(exist_ok=True)
    (draft / drafts.LOCK).touch()
    return draft


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_draft_is_hidden_and_private_and_goes_at_the_end(tmp_path: Path) -> None:
    with drafting(tmp_path / "run") as draft:
        assert draft.parent == tmp_path
        assert draft.name.startswith(".run.")
        assert draft.stat().st_mode & 0o077 == 0
        (draft / "a" / "b").mkdir(parents=True)
        (draft / "link").symlink_to(tmp_path)
    assert names(tmp_path) == set()


def test_the_draft_of_a_living_process_stays_and_that_of_a_killed_one_goes(tmp_path: Path) -> None:
    with owned(tmp_path / "run") as owner:
        assert owner.stdout is not None
        name = owner.stdout.readline().strip()
        sweep(tmp_path)
        assert names(tmp_path / name) == {drafts.LOCK, "half"}
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        assert names(tmp_path) == {name}
        sweep(tmp_path)
    assert names(tmp_path) == set()


def test_a_place_is_contended_while_a_living_process_has_a_draft_of_it(tmp_path: Path) -> None:
    with owned(tmp_path / "run") as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        with drafting(tmp_path / "run") as draft, drafting(tmp_path / "run-2") as other:
            assert drafts.contended(draft)
            assert not drafts.contended(other)
            owner.kill()
            owner.wait()
            assert not drafts.contended(draft)


def test_a_new_draft_sweeps_those_of_every_place_in_its_folder(tmp_path: Path) -> None:
    dead(tmp_path / "other", "half")
    with drafting(tmp_path / "run") as draft:
        assert names(tmp_path) == {draft.name}
        with drafting(tmp_path / "run") as second:  # nor do those of one process hurt each other
            assert names(tmp_path) == {draft.name, second.name}


def test_only_what_a_draft_is_called_is_swept(tmp_path: Path) -> None:
    kept = (".run.draft-short", ".run-0123abc_", "run.draft-0123abc_", ".draft-0123abc_")
    for name in kept:
        (tmp_path / name).mkdir()
        (tmp_path / name / drafts.LOCK).touch()
    (tmp_path / ".run.draft-aaaaaaaa").write_text("a file")
    (tmp_path / ".run.draft-bbbbbbbb").mkdir()
    (tmp_path / ".run.draft-bbbbbbbb" / "thesis.txt").write_text("of somebody, with no lock")
    (tmp_path / ".run.draft-cccccccc").symlink_to("run.draft-0123abc_")
    before = names(tmp_path)
    sweep(tmp_path)
    assert names(tmp_path) == before
    assert (tmp_path / "run.draft-0123abc_" / drafts.LOCK).exists()


def test_a_link_or_a_pipe_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    draft = tmp_path / ".run.draft-aaaaaaaa"
    draft.mkdir()
    (draft / drafts.LOCK).symlink_to(tmp_path / "mine")
    sweep(tmp_path)
    assert (tmp_path / "mine").read_text() == "mine"
    assert draft.exists()


def test_an_empty_draft_goes(tmp_path: Path) -> None:
    (tmp_path / ".run.draft-aaaaaaaa").mkdir()
    sweep(tmp_path)
    assert names(tmp_path) == set()


def test_what_a_killed_process_moved_out_of_its_place_comes_back(tmp_path: Path) -> None:
    draft = dead(tmp_path / "run", drafts.REPLACED, "run")
    (draft / drafts.REPLACED / "plan.json").write_text("earlier")
    sweep(tmp_path)
    assert names(tmp_path) == {"run"}
    assert (tmp_path / "run" / "plan.json").read_text() == "earlier"


def test_it_does_not_come_back_over_what_has_taken_the_place(tmp_path: Path) -> None:
    dead(tmp_path / "run", drafts.REPLACED)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "plan.json").write_text("later")
    sweep(tmp_path)
    assert names(tmp_path) == {"run"}
    assert (tmp_path / "run" / "plan.json").read_text() == "later"


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_a_folder_that_cannot_be_swept_is_left(folder: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sweep(tmp_path / folder)
    assert names(tmp_path) == {"file"}


def test_without_locks_nothing_of_anybody_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "fcntl", None)
    left = dead(tmp_path / "run", "half")
    with drafting(tmp_path / "run") as draft:
        assert names(tmp_path) == {left.name, draft.name}
    assert names(tmp_path) == {left.name}


def test_eight_processes_in_one_folder_never_sweep_each_other(tmp_path: Path) -> None:
    for number in range(20):
        dead(tmp_path / f"left-{number}", "half")
    command = [sys.executable, "-c", MAKER, str(tmp_path)]
    makers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(8)]
    errors = [maker.communicate()[1] for maker in makers]
    assert errors == [""] * 8
    assert names(tmp_path) == set()


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    held = drafts.take(tmp_path / "lock")
    assert held is not None
    assert drafts.take(tmp_path / "lock") is None
    os.close(held)
    again = drafts.take(tmp_path / "lock")
    assert again is not None
    os.close(again)
