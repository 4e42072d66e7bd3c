"""What edgeprune wrote and reads again carries a digest: damage and edits are seen and named."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from invocation import CHAIN_SHAPE, edgeprune

from edgeprune import checksum
from edgeprune.errors import ModelRefused, UsageError
from edgeprune.pruning import plan_file

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = re.compile(rb"file_sha256\W+([0-9a-f]{64})")


@pytest.fixture
def run(pruned_chain: Path, tmp_path: Path) -> Path:
    """A run directory that may be written to."""
    shutil.copytree(pruned_chain, tmp_path / "run")
    return tmp_path / "run"


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize("name", ["plan.json", "report.json", "recipe.yaml"])
def test_the_digest_is_that_of_the_file_with_zeros_for_it(name: str, pruned_chain: Path) -> None:
    text = (pruned_chain / name).read_bytes()
    found = DIGEST.search(text)
    assert found is not None
    blank = text[: found.start(1)] + b"0" * 64 + text[found.end(1) :]
    assert hashlib.sha256(blank).hexdigest().encode() == found[1]
    assert not checksum.is_changed(text)


@settings(deadline=None)
@given(data=st.data())
def test_no_flipped_bit_makes_another_plan(
    data: st.DataObject, pruned_chain: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = bytearray((pruned_chain / "plan.json").read_bytes())
    place = data.draw(st.integers(0, len(text) - 1))
    text[place] ^= 1 << data.draw(st.integers(0, 7))
    flipped = tmp_path_factory.mktemp("flipped") / "plan.json"
    flipped.write_bytes(text)
    with contextlib.suppress(ModelRefused, UsageError):
        assert plan_file.read(flipped) == plan_file.read(pruned_chain / "plan.json")


def test_an_edited_plan_is_named_and_its_owner_is_told_what_to_do(chain: Path, run: Path) -> None:
    plan = run / "plan.json"
    kept = plan_file.read(plan).groups[0].kept
    edit(plan, f"[{kept[0]},", f"[{kept[0]}, ")
    with pytest.raises(ModelRefused, match=r"plan\.json' was changed"):
        plan_file.read(plan)
    for command in (("apply", plan, chain, "--input", CHAIN_SHAPE), ("recover", run)):
        ran = edgeprune(*command, "-o", run.with_name("new"))
        assert ran.code == 4
        assert "plan.json' was changed" in ran.error
        assert "file_sha256" in ran.error
    written = json.loads(plan.read_text())
    del written["file_sha256"]
    plan.write_text(json.dumps(written))
    assert plan_file.read(plan).groups[0].kept == kept


def test_recover_wants_the_recipe_as_the_run_wrote_it(run: Path, tmp_path: Path) -> None:
    edit(run / "recipe.yaml", "mean: ", "mean:  ")
    ran = edgeprune("recover", run, "-o", tmp_path / "new")
    assert ran.code == 4
    assert "recipe.yaml' was changed" in ran.error


def test_a_recipe_that_is_passed_may_be_edited(chain: Path, run: Path) -> None:
    edit(run / "recipe.yaml", "macs: 50%", "macs: 60%")
    flags = ("--recipe", run / "recipe.yaml", "--dry-run", "--json", "-")
    ran = edgeprune("compress", chain, *flags)
    assert ran.code == 0
    assert json.loads(ran.out)["budget"]["asked"] == 0.6


def test_a_recipe_holds_its_command_on_one_line(chain: Path, tmp_path: Path) -> None:
    run = tmp_path / "a\nseed: 7\r\x1b]0;x\x07"
    assert edgeprune("prune", chain, "--input", CHAIN_SHAPE, "-o", run).code == 0
    text = (run / "recipe.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["seed"] == 0
    assert not [c for c in text if not c.isprintable() and c != "\n"]


def test_check_warns_of_an_edited_report_and_judges_it(run: Path) -> None:
    assert "changed" not in edgeprune("check", run).err
    edit(run / "report.json", '"seed": 0', '"seed": 1')
    ran = edgeprune("check", run, "--fail-if", "seed > 0")
    assert ran.code == 3
    assert "report.json' was changed" in ran.err


def test_weights_of_a_run_that_changed_are_refused(run: Path, tmp_path: Path) -> None:
    weights = run / "compressed.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    for command in ("export", "inspect", "compress"):
        flags = () if command == "inspect" else ("-o", tmp_path / "new")
        ran = edgeprune(command, run, *flags)
        assert ran.code == 4
        assert "compressed.safetensors' is damaged" in ran.error
