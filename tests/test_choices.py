"""A table of choices: a read-only mapping whose errors teach."""

import pytest

from edgeprune.choices import Choices
from edgeprune.errors import UsageError
from edgeprune.pruning import BUDGETS, CRITERIA
from edgeprune.recovery import METHODS

TABLE = Choices("recovery method", {"none": 0, "auto": 1, "lbyl": 2})


def test_it_is_a_mapping_in_the_order_given():
    assert dict(TABLE) == {"none": 0, "auto": 1, "lbyl": 2}
    assert list(TABLE) == ["none", "auto", "lbyl"]
    assert len(TABLE) == 3
    assert "auto" in TABLE
    assert "lbly" not in TABLE
    assert 3 not in TABLE


def test_the_table_given_is_copied():
    given = {"a": 1}
    choices = Choices("letter", given)
    given["b"] = 2
    assert list(choices) == ["a"]


def test_nothing_can_be_added():
    with pytest.raises(TypeError):
        TABLE["new"] = 3


def test_an_unknown_name_teaches_the_known_ones():
    with pytest.raises(UsageError) as caught:
        TABLE["lbly"]
    assert str(caught.value) == (
        "no recovery method is called 'lbly': did you mean 'lbyl'? there are none, auto, lbyl"
    )


def test_without_anything_close_no_guess_is_made():
    with pytest.raises(UsageError, match="'xyz': there are none, auto, lbyl"):
        TABLE["xyz"]


@pytest.mark.parametrize("table", [BUDGETS, CRITERIA, METHODS])
def test_the_projects_tables_hold_what_can_be_called(table):
    assert all(callable(choice) for choice in table.values())
    with pytest.raises(UsageError, match="there are"):
        table["no such thing"]
