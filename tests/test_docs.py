"""The pages: links that lead somewhere, commands and flags that exist, variables that are named."""

from __future__ import annotations

import re
import shlex
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from edgeprune import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PAGES = [path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "generated"]
FOLDERS = ("tutorials", "how-to", "explanations", "results", "reference")

LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")
VARIABLE = re.compile(r'environ(?:\.get\(|\.setdefault\(|\[)\s*"([A-Z_]+)"')

FENCED = re.compile(r"^```(?:bash|console|sh)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(edgeprune [a-z]+ [^`…]*)`")
SEPARATORS = ("&&", "||", "|", ";", ">", ">>")


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", [*PAGES, *ROOT.glob("*.md")], ids=_name)
def test_links_lead_to_files(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_first_page_is_short_and_names_a_bad_result() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert "lost" in text[text.index("## What it does") : text.index("## Install")]
    assert "pictures/example.svg" in text


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


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every ``edgeprune`` command on a page, without what a shell does besides."""
    text = page.read_text(encoding="utf-8")
    blocks = "\n".join(FENCED.findall(text)).replace("\\\n", " ")
    typed = [line for line in blocks.splitlines() if "edgeprune " in line and "…" not in line]
    inline = [found.replace("\\|", "|") for found in INLINE.findall(text.replace("\n", " "))]
    for line in (*typed, *inline):
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;>")
        lexer.whitespace_split = True
        words = [*lexer, ";"]
        while "edgeprune" in words:
            words = words[words.index("edgeprune") + 1 :]
            yield list(takewhile(lambda word: word not in SEPARATORS, words))


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=_name)
def test_commands_and_flags_exist(page: Path) -> None:
    for words in commands(page):
        if words and not words[0].startswith("-"):
            command = cli.cli.get_command(click.Context(cli.cli), words[0])
            assert command is not None, words
            command.make_parser(click.Context(command)).parse_args(words[1:])
