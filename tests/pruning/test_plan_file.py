"""Plans as files: what is written is read, and what is no plan is refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from traced_zoo import random_plan, traced

from edgeprune.artifacts import KeptChannels, PruningPlan
from edgeprune.errors import UsageError
from edgeprune.pruning import plan_file

PLAN = PruningPlan(
    (KeptChannels("0.0", 4, (0, 2)), KeptChannels("body.1", 3, (1,))), "ab" * 32, {"torch": "2.9"}
)


@st.composite
def plans(draw):
    entries = []
    for name in draw(st.lists(st.text(min_size=1, max_size=12), max_size=4, unique=True)):
        width = draw(st.integers(1, 40))
        kept = draw(st.sets(st.integers(0, width - 1), min_size=1))
        entries.append(KeptChannels(name, width, tuple(sorted(kept))))
    versions = draw(st.dictionaries(st.text(max_size=6), st.text(max_size=6), max_size=2))
    return PruningPlan(tuple(entries), draw(st.text(max_size=64)), versions)


@settings(max_examples=50, deadline=None)
@given(plan=plans())
def test_what_is_written_is_read(tmp_path_factory, plan):
    path = tmp_path_factory.mktemp("plan") / plan_file.FILE_NAME
    plan_file.write(plan, path)
    assert plan_file.read(path) == plan
    json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["chain", "grouped"])
def test_a_real_plan_survives(tmp_path, name):
    plan = random_plan(traced(name), 0)
    plan_file.write(plan, tmp_path / "plan.json")
    assert plan_file.read(tmp_path / "plan.json") == plan


def test_one_group_stands_on_one_line(tmp_path):
    path = tmp_path / "plan.json"
    plan_file.write(PLAN, path)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert sum('"group":' in line for line in lines) == len(PLAN.groups)
    assert json.loads(lines[2].strip().rstrip(",")) == {"group": "0.0", "width": 4, "kept": [0, 2]}


def test_removed_is_what_is_not_kept():
    assert PLAN.groups[0].removed == (1, 3)
    assert PLAN.groups[1].removed == (0, 2)


GOOD = {"schema_version": 1, "model_sha256": "", "versions": {}, "groups": []}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", "is not a pruning plan"),
        ("[]", "is not a pruning plan"),
        (json.dumps({"schema_version": 1}), "missing required field `model_sha256`"),
        (json.dumps(GOOD | {"surprise": 1}), "unknown field `surprise`"),
        (
            json.dumps(GOOD | {"groups": [{"group": "a", "width": "4", "kept": []}]}),
            "Expected `int`",
        ),
        (json.dumps(GOOD | {"schema_version": 2}), "has schema version 2, expected 1"),
    ],
)
def test_what_is_no_plan_is_refused(tmp_path, text, words):
    path = tmp_path / "plan.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=words) as caught:
        plan_file.read(path)
    assert str(path) in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read the plan '.*missing\.json'"):
        plan_file.read(tmp_path / "missing.json")
    with pytest.raises(UsageError, match="cannot read the plan"):
        plan_file.read(tmp_path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "plan.json"
    path.write_bytes(b'{"schema_version": 1, "model_sha256": "\xff"}')
    with pytest.raises(UsageError, match="is not a pruning plan"):
        plan_file.read(path)


def test_the_digest_tells_plans_apart():
    assert plan_file.digest(PLAN) == plan_file.digest(PLAN.of(PLAN.groups))
    assert plan_file.digest(PLAN) != plan_file.digest(PLAN.of(PLAN.groups[:1]))
    assert len(plan_file.digest(PLAN)) == 64
