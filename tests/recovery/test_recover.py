"""Recovery as a whole: what a method cannot solve is told by the name that the user knows."""

from dataclasses import dataclass

import pytest
import torch
from traced_zoo import random_plan, traced

from edgeprune.errors import ModelUnsupported
from edgeprune.pruning import prune
from edgeprune.recovery import METHODS, RecoveryMethod, recover


def unsolvable(*_):
    raise torch.linalg.LinAlgError("not positive-definite")


@dataclass(frozen=True)
class Mine(RecoveryMethod):
    """A method of the user's own."""

    __call__ = unsolvable


def message_of(method):
    model = traced("chain")
    with pytest.raises(ModelUnsupported) as caught:
        recover(model, prune(model, random_plan(model, 0, most=0.8)), [method])
    return str(caught.value)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_that_cannot_solve_is_named_by_its_flag(name, monkeypatch):
    monkeypatch.setattr(METHODS[name], "__call__", unsolvable)
    said = message_of(METHODS[name]())
    assert said.startswith(f"--recover {name}: the network's numbers are too extreme")
    assert "; --recover none leaves it out (not positive-definite)" in said


def test_the_users_own_method_is_named_by_its_class():
    said = message_of(Mine())
    assert said.startswith("Mine: ")
    assert "--recover" not in said
