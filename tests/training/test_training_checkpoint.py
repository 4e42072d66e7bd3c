"""A checkpoint is whole, or there is none; and it is of one run only."""

import pytest
import torch

from edgeprune.training import Checkpoint
from edgeprune.training.checkpoint import digest

STATE = {"step": 3, "weights": {"0.weight": torch.arange(4.0)}, "errors": [(0, float("inf"))]}


@pytest.fixture
def kept(tmp_path):
    checkpoint = Checkpoint(tmp_path / "run[1].pt")
    checkpoint.save("this", STATE)
    return checkpoint


def test_what_is_saved_is_loaded(kept):
    found = kept.load("this")
    assert torch.equal(found["weights"].pop("0.weight"), torch.arange(4.0))
    assert found == {"step": 3, "weights": {}, "errors": [(0, float("inf"))]}


def test_there_is_nothing_of_another_run_or_before_the_first(kept, tmp_path):
    assert kept.load("other") is None
    assert Checkpoint(tmp_path / "none.pt").load("this") is None


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-30], lambda b: b[:9], lambda b: b"", lambda b: b"text " * 99]
)
def test_a_damaged_file_counts_as_none(kept, damage):
    kept.path.write_bytes(damage(kept.path.read_bytes()))
    assert kept.load("this") is None


def test_a_file_that_would_run_code_counts_as_none(kept):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the file ran code",))

    torch.save({"run": "this", "state": Trap()}, kept.path)
    assert kept.load("this") is None


def test_the_old_file_stays_until_the_new_one_is_whole(kept, monkeypatch):
    def half(contents, file):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        kept.save("this", {})
    assert kept.load("this")["step"] == 3


def test_nothing_is_left_once_it_is_removed(kept, tmp_path):
    other = tmp_path / "run1.pt"
    other.write_bytes(b"")
    for rank in (0, 1):
        kept.of_rank(rank).save("this", STATE)
    draft = kept.path.with_name(".run[1].pt.rank0.draft-0123abc_")  # of a process that was killed
    draft.mkdir()
    (draft / "owner.lock").touch()
    kept.remove()
    kept.remove()
    assert list(tmp_path.iterdir()) == [other]


def test_runs_are_told_apart_by_what_makes_them():
    assert digest("a", 1) == digest("a", 1)
    assert len({digest("a", 1), digest("a", 2), digest("b", 1), digest("a")}) == 4
