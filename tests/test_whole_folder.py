"""A folder takes its place whole, and at no moment is there none; a failure changes nothing."""

from __future__ import annotations

import ctypes
import errno
import os
import tempfile
from pathlib import Path

import pytest

from edgeprune import whole_folder
from edgeprune.drafts import drafting
from edgeprune.whole_folder import exchange, place_folder, replace_folder

BOTH = pytest.mark.parametrize("in_one_step", [True, False])


def folder(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "plan.json").write_text(text)
    return path


def text(path: Path) -> str:
    return (path / "plan.json").read_text()


@pytest.fixture
def no_exchange(in_one_step: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that cannot exchange, where ``in_one_step`` is False."""
    if not in_one_step:
        monkeypatch.setattr(whole_folder, "exchange", lambda one, other: False)
    elif not _can_exchange():
        pytest.skip("this file system exchanges nothing")


def _can_exchange() -> bool:
    with tempfile.TemporaryDirectory() as name:
        return exchange(folder(Path(name, "a"), "a"), folder(Path(name, "b"), "b"))


def fail_at(call: str, monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Let a call of ``os`` fail once it has been made ``after`` times."""
    real, made = getattr(os, call), [0]

    def failing(*given: object, **named: object) -> object:
        made[0] += 1
        if made[0] == after + 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(*given, **named)

    monkeypatch.setattr(os, call, failing)


def test_windows_exchanges_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opens_nothing(name: str | None, **_: object) -> None:
        raise TypeError("as LoadLibrary does without a name")

    one, other = folder(tmp_path / "a", "a"), folder(tmp_path / "b", "b")
    with monkeypatch.context() as windows:
        windows.setattr(os, "name", "nt")
        windows.setattr(ctypes, "CDLL", opens_nothing)
        exchanged = exchange(one, other)
    assert not exchanged
    assert (text(one), text(other)) == ("a", "b")


@BOTH
@pytest.mark.usefixtures("no_exchange")
def test_the_earlier_folder_goes_and_the_new_one_stands(tmp_path: Path) -> None:
    place = folder(tmp_path / "run", "earlier")
    with drafting(place) as draft:
        replace_folder(folder(draft / "run", "new"), place, draft)
        assert text(place) == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@BOTH
@pytest.mark.parametrize(("call", "after"), [("fsync", n) for n in range(3)])
@pytest.mark.usefixtures("no_exchange")
def test_a_disk_that_fails_leaves_the_earlier_folder(
    call: str, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = folder(tmp_path / "run", "earlier")
    with drafting(place) as draft:
        made = folder(draft / "run", "new")
        fail_at(call, monkeypatch, after=after)
        with pytest.raises(OSError, match="Input/output"):
            replace_folder(made, place, draft)
        assert text(place) == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("after", [0, 1])
def test_of_two_renames_either_may_fail(
    after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_folder, "exchange", lambda one, other: False)
    place = folder(tmp_path / "run", "earlier")
    with drafting(place) as draft:
        made = folder(draft / "run", "new")
        fail_at("rename", monkeypatch, after=after)
        with pytest.raises(OSError, match="Input/output"):
            replace_folder(made, place, draft)
    assert text(place) == "earlier"


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_disk_that_fails_leaves_no_folder_in_an_empty_place(
    after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "run"
    with drafting(place) as draft:
        made = folder(draft / "run", "new")
        fail_at("fsync", monkeypatch, after=after)
        with pytest.raises(OSError, match="Input/output"):
            place_folder(made, place)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["folder", "empty folder", "file", "dangling link"])
def test_what_is_in_the_place_is_not_replaced(what: str, tmp_path: Path) -> None:
    place = tmp_path / "run"
    if what == "folder":
        folder(place, "of another process")
    elif what == "empty folder":
        place.mkdir()
    elif what == "file":
        place.write_text("of another process")
    else:
        place.symlink_to("nowhere")
    with drafting(place) as draft:
        made = folder(draft / "run", "new")
        with pytest.raises(FileExistsError):
            place_folder(made, place)
        assert text(made) == "new"
    assert os.path.lexists(place)
    assert not (place / "plan.json").exists() or text(place) == "of another process"


def test_a_rename_that_comes_too_late_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = folder(tmp_path / "run", "of another process")
    seen = iter([False, True])
    monkeypatch.setattr(os.path, "lexists", lambda path: next(seen))
    with drafting(place) as draft:
        made = folder(draft / "run", "new")
        with pytest.raises(FileExistsError):
            place_folder(made, place)
    assert text(place) == "of another process"


def test_an_exchange_that_the_system_refuses_is_an_error(tmp_path: Path) -> None:
    if not _can_exchange():
        pytest.skip("this file system exchanges nothing")
    with pytest.raises(FileNotFoundError):
        exchange(folder(tmp_path / "a", "a"), tmp_path / "missing")
    assert text(tmp_path / "a") == "a"


def test_folders_change_places_in_one_step(tmp_path: Path) -> None:
    if not _can_exchange():
        pytest.skip("this file system exchanges nothing")
    one, other = folder(tmp_path / "one", "1"), folder(tmp_path / "other", "2")
    assert exchange(one, other)
    assert (text(one), text(other)) == ("2", "1")
