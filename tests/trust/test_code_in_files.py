"""A file is never code: programs are loaded only if edgeprune wrote them, recipes grant nothing."""

from __future__ import annotations

import io
import pathlib
import shutil
import zipfile
from typing import TYPE_CHECKING

import pytest
import torch
import yaml
import zoo
from invocation import CHAIN_SHAPE, edgeprune

from edgeprune import own_files
from edgeprune.artifacts import InputSpec
from edgeprune.export import TARGETS

if TYPE_CHECKING:
    from pathlib import Path


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return pathlib.Path.touch, (pathlib.Path(self.path),)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEPRUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that edgeprune wrote."""
    path = tmp_path / "ours.pt2"
    TARGETS["torch"]()(zoo.build("chain"), InputSpec((zoo.INPUT_SHAPE,)), path, {})
    return path


def poisoned(program: Path, marker: Path) -> Path:
    """The program with a pickle in the place of its example inputs."""
    gift, pickle = program.with_name("gift.pt2"), io.BytesIO()
    torch.save(Touch(marker), pickle)
    with zipfile.ZipFile(program) as good, zipfile.ZipFile(gift, "w") as bad:
        for entry in good.namelist():
            data = pickle.getvalue() if "sample_inputs" in entry else good.read(entry)
            bad.writestr(entry, data)
    return gift


def test_a_strangers_program_is_not_loaded(program: Path, tmp_path: Path) -> None:
    gift = poisoned(program, tmp_path / "ran")
    ran = edgeprune("bench", gift, "--runtime", "torch", "--seconds", "0.2")
    assert ran.code == 4
    assert "was not written by edgeprune here" in ran.error
    assert "--trust" in ran.error
    assert not (tmp_path / "ran").exists()


def test_what_edgeprune_wrote_is_known_by_its_content_alone(program: Path, cache: Path) -> None:
    own_files._written.clear()  # as in another process
    moved = program.with_name("moved.pt2")
    shutil.move(program, moved)
    assert own_files.is_own(moved)
    assert edgeprune("bench", moved, "--runtime", "torch", "--seconds", "0.2").code == 0
    with zipfile.ZipFile(moved, "a") as file:
        file.comment = b"changed"
    assert not own_files.is_own(moved)
    assert edgeprune("bench", moved, "--runtime", "torch", "--seconds", "0.2").code == 4
    trusted = edgeprune("bench", moved, "--runtime", "torch", "--seconds", "0.2", "--trust")
    assert trusted.code == 0
    assert sorted(path.name for path in cache.iterdir()) == [own_files.LIST]


def test_a_list_that_cannot_be_written_still_serves_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEPRUNE_CACHE", str(tmp_path / "file" / "below"))
    (tmp_path / "model").write_bytes(b"content")
    assert not own_files.is_own(tmp_path / "model")
    own_files.remember(tmp_path / "model")
    assert own_files.is_own(tmp_path / "model")


@pytest.mark.parametrize("grant", [{"trust": True}, {"allow": ["gift"]}, {"arch": "gift.py:make"}])
def test_a_recipe_grants_nothing(
    grant: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(Touch(tmp_path / "ran"), "gift.pt")
    pathlib.Path("gift.py").write_text("open('ran', 'w')\n")
    pathlib.Path("recipe.yaml").write_text(yaml.safe_dump(grant))
    flags = ("--recipe", "recipe.yaml", "--input", CHAIN_SHAPE, "--dry-run")
    ran = edgeprune("compress", "gift.pt", *flags)
    assert ran.code == 4
    assert f"sets {next(iter(grant))}, which no recipe can grant" in ran.err
    assert not pathlib.Path("ran").exists()


def test_a_run_directory_grants_nothing_either(pruned_chain: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(pruned_chain, run)
    torch.save(Touch(tmp_path / "ran"), tmp_path / "gift.pt")
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    recipe |= {"model": str(tmp_path / "gift.pt"), "trust": True}
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    ran = edgeprune("recover", run, "--recover", "analytic", "-o", tmp_path / "new")
    assert ran.code == 4
    assert not (tmp_path / "ran").exists()
