"""``-o LINK``: the run goes where the link leads, and the link stays a link."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from invocation import CHAIN_SHAPE, edgeprune

from edgeprune.report.files import decode

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("earlier", [True, False])
def test_a_run_goes_where_the_link_leads(
    earlier: bool, chain: Path, pruned_chain: Path, tmp_path: Path
) -> None:
    place, link = tmp_path / "disk" / "run", tmp_path / "latest"
    place.parent.mkdir()
    link.symlink_to("disk/run")
    command = ("prune", chain, "--input", CHAIN_SHAPE, "--macs", "70%", "-o", link)
    if earlier:
        shutil.copytree(pruned_chain, place)
        (place / "old.txt").write_text("of the earlier run")
        assert edgeprune(*command).code == 2
        assert (place / "old.txt").exists()
    assert edgeprune(*command, "--overwrite").code == 0
    assert link.is_symlink()
    assert str(link.readlink()) == "disk/run"
    assert [path.name for path in place.parent.iterdir()] == ["run"]
    assert {path.name for path in tmp_path.iterdir()} == {"disk", "latest"}
    assert not (place / "old.txt").exists()
    budget = decode(place).budget
    assert budget is not None
    assert budget.asked == 0.7
