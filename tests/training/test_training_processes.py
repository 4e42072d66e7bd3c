"""Several processes train as one with the whole batch, and take the same decisions."""

import copy
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torchrun import torchrun
from two_processes import EACH, STEPS, features

from edgeprune.training import join

SCRIPT = Path(__file__).with_name("two_processes.py")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What two processes that torchrun started found, and what they printed."""
    folder = tmp_path_factory.mktemp("ranks")
    ran = torchrun(SCRIPT, folder, folder=folder)
    assert ran.returncode == 0, ran.stderr
    return [torch.load(folder / f"rank{rank}.pt") for rank in (0, 1)], ran.stdout + ran.stderr


def test_two_processes_join_twice_and_say_nothing(ranks):
    found, printed = ranks
    assert [each["rank"] for each in found] == [0, 1]
    assert [(each["count"], each["device"]) for each in found] == [(2, "cpu")] * 2
    assert all(each["copied"] for each in found)
    assert printed == ""


def test_two_processes_share_and_agree(ranks):
    found, _ = ranks
    assert torch.cat([each["slice"] for each in found]).tolist() == list(range(6))
    assert [each["agreed"] for each in found] == [0.1, 0.1]


def test_mean_is_that_of_the_processes_and_so_is_its_gradient(ranks):
    found, _ = ranks
    x = [each["gradient"]["x"].requires_grad_() for each in found]
    mean = (x[0] + x[1]) / 2
    # N times the mean of the losses: their sum.
    (1 * mean.square() + 2 * mean.square()).sum().backward()
    for each, own in zip(found, x, strict=True):
        torch.testing.assert_close(each["gradient"]["mean"], mean.detach())
        torch.testing.assert_close(each["gradient"]["gradient"], own.grad)


def test_two_processes_train_like_one_with_the_whole_batch(ranks):
    found, _ = ranks
    torch.set_num_threads(1)
    alone = features(join(), 2 * EACH)
    assert len(alone["losses"]) == STEPS
    for name in ("losses", "errors", "best"):
        assert found[0]["features"][name] == found[1]["features"][name]
        assert found[0]["features"][name] == pytest.approx(alone[name], rel=1e-5)
    for name, expected in alone["weights"].items():
        both = [each["features"]["weights"][name] for each in found]
        assert torch.equal(*both), name
        torch.testing.assert_close(both[0], expected, rtol=1e-5, atol=1e-6, msg=name)


def test_two_processes_resume_without_a_trace(ranks):
    for each in ranks[0]:
        whole, again = each["features"], each["resumed"]
        assert all(again[name] == whole[name] for name in ("losses", "errors", "best"))
        assert all(torch.equal(again["weights"][n], w) for n, w in whole["weights"].items())


def test_a_step_that_one_process_must_skip_is_skipped_by_all(ranks):
    found, _ = ranks
    lines = [each["line"] for each in found]
    assert torch.equal(lines[0]["weight"], lines[1]["weight"])
    assert lines[0]["weight"].isfinite().all()
    assert all(each["fitted"].startswith("1 step skipped") for each in lines)


def test_processes_apart_train_their_own_and_resume_together(ranks):
    found, _ = ranks
    own = [each["interrupted"] for each in found]
    # With a file lost, or none written since they are not interrupted together, all begin anew.
    for run, step in {"interrupted": 5, "lost": 0, "unsaved": 0}.items():
        assert [each[run]["from"] for each in found] == [step] * 2
        assert all(each[run]["same"] for each in found)
    assert own[0]["value"] != own[1]["value"]
    assert own[0]["errors"] == own[1]["errors"]
    assert own[0]["errors"][0] == (0, pytest.approx((3 * 1 + 3 * 4) / 2))


def test_one_process_is_alone_and_leaves_no_trace(capfd):
    state, level = torch.get_rng_state(), logging.getLogger("lightning_fabric").level
    alone, again = join(), join()
    assert (alone.rank, alone.count, again.count) == (0, 1, 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert logging.getLogger("lightning_fabric").level in (level, logging.INFO)
    assert not torch.distributed.is_initialized()
    assert capfd.readouterr() == ("", "")
    x = torch.arange(6.0, requires_grad=True)
    assert alone.mean_of(x) is x
    assert torch.equal(alone.share(x), x)
    assert alone.agreed(0.1) == 0.1
    assert copy.deepcopy(alone) is alone
    alone.barrier()


@pytest.mark.parametrize(("count", "size"), [(2, 5), (3, 4)])
def test_a_batch_that_cannot_be_shared_is_refused(count, size):
    processes = replace(join(), count=count)
    with pytest.raises(ValueError, match=f"{count} processes cannot share {size} inputs"):
        processes.share(torch.arange(size))
