"""Two processes train a pruned network as one does with the whole batch."""

from pathlib import Path

import pytest
import torch
from torchrun import torchrun
from two_students import EACH, supervised

SCRIPT = Path(__file__).with_name("two_students.py")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What two processes that torchrun started found."""
    folder = tmp_path_factory.mktemp("students")
    ran = torchrun(SCRIPT, folder, folder=folder)
    assert ran.returncode == 0, ran.stderr
    assert [file.name for file in (folder / "state").iterdir()] == ["supervise.pt"]
    return [torch.load(folder / f"rank{rank}.pt") for rank in (0, 1)]


def test_both_have_the_same_network_in_the_end(ranks):
    first, second = ranks
    assert first["curve"] == second["curve"]
    assert all(torch.equal(second["weights"][n], value) for n, value in first["weights"].items())


def test_two_processes_train_like_one_with_the_whole_batch(ranks):
    alone = supervised(2 * EACH)
    for (step, error), (other_step, other) in zip(ranks[0]["curve"], alone["curve"], strict=True):
        assert step == other_step
        assert error == pytest.approx(other, rel=1e-3)
    gap = torch.linalg.vector_norm(ranks[0]["outputs"] - alone["outputs"])
    assert float(gap / torch.linalg.vector_norm(alone["outputs"])) < 1e-3
    assert alone["curve"][-1][1] < alone["curve"][0][1]
