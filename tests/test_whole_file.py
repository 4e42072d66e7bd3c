"""A file is there whole or not at all, whatever ends the writing, and nothing lies beside it."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeprune.errors import UsageError
from edgeprune.whole_file import write_whole, writing

on_one_folder = settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def listed(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write_half(file: Path, half: bytes, failure: BaseException) -> None:
    before = listed(file.parent)
    with writing(file) as draft:
        draft.write_bytes(half)
        assert {p.name: p.read_bytes() for p in file.parent.glob("[!.]*")} == before
        raise failure


@on_one_folder
@given(old=st.none() | st.binary(), new=st.binary())
def test_after_success_the_new_bytes_stand_alone(
    old: bytes | None, new: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.unlink(missing_ok=True)
    if old is not None:
        file.write_bytes(old)
    write_whole(file, new)
    assert listed(tmp_path) == {"file": new}


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt(), ValueError()])
@pytest.mark.parametrize("old", [None, b"", b"old\0bytes"])
@on_one_folder
@given(half=st.binary())
def test_after_a_failure_in_the_middle_the_old_bytes_stand_alone(
    old: bytes | None, failure: BaseException, half: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    if old is not None:
        file.write_bytes(old)
    before = listed(tmp_path)
    with pytest.raises(type(failure)):
        write_half(file, half, failure)
    assert listed(tmp_path) == before


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_the_old_bytes(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "file"
    file.write_bytes(b"old")
    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[call], refuse)
    with pytest.raises(UsageError, match=r"cannot write .*file: No space left"):
        write_whole(file, b"new")
    assert listed(tmp_path) == {"file": b"old"}


def test_a_folder_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file" / "inside").mkdir(parents=True)
    with pytest.raises(UsageError, match="cannot write"):
        write_whole(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_writer_that_removes_its_draft_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(FileNotFoundError), writing(tmp_path / "file") as draft:
        draft.unlink()
    assert listed(tmp_path) == {"file": b"old"}


def test_what_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"new")
    with pytest.raises(UsageError, match="cannot write"):
        write_whole(tmp_path / "file" / "below", b"new")
    assert listed(tmp_path) == {"file": b"new"}


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077, 0o000])
def test_permissions_are_those_of_any_new_file(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        (tmp_path / "plain").write_bytes(b"")
        with writing(tmp_path / "file") as draft:
            assert draft.parent.stat().st_mode & 0o077 == 0
            draft.chmod(0o600)  # as the writer of safetensors does
    finally:
        os.umask(before)
    modes = [(tmp_path / name).stat().st_mode for name in ("plain", "file")]
    assert modes[0] == modes[1]


def test_a_link_stays_a_link_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "dangling").symlink_to("new")
    write_whole(tmp_path / "link", b"1")
    write_whole(tmp_path / "dangling", b"2")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "dangling").is_symlink()
    assert ((tmp_path / "target").read_bytes(), (tmp_path / "new").read_bytes()) == (b"1", b"2")
    assert len(list(tmp_path.iterdir())) == 4


def test_a_pipe_stays_a_pipe_and_is_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(tmp_path / "pipe", b"through")
        assert os.read(reader, 100) == b"through"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_no_folder_is_made_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        write_whole(tmp_path / "missing" / "file", b"1")
    assert list(tmp_path.iterdir()) == []
