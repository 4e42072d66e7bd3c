"""The pages: links that lead somewhere, commands and flags that exist, variables that are named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "generated"]
FOLDERS = ("tutorials", "how-to", "explanations", "results", "reference")

LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")
VARIABLE = re.compile(r'environ(?:\.get\(|\.setdefault\(|\[)\s*"([A-Z_]+)"')


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", [*PAGES, *ROOT.glob("*.md")], ids=_name)
def test_links_lead_to_files(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_page_is_listed_by_the_index_of_its_folder(folder: str) -> None:
    index = (ROOT / "docs" / folder / "index.md").read_text(encoding="utf-8")
    assert ":glob:" in index
    assert "\n*\n" in index
    pages = [page for page in PAGES if page.is_relative_to(ROOT / "docs" / folder)]
    assert len(pages) > 1
    assert {page.parent.name for page in pages} == {folder}, "the index lists no sub-folders"


def test_every_environment_variable_is_on_its_page() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "edgeprune").rglob("*.py")]
    read = {name for text in sources for name in VARIABLE.findall(text)}
    page = (ROOT / "docs/reference/environment.md").read_text(encoding="utf-8")
    assert read
    assert {name for name in read if f"`{name}`" not in page} == set()
