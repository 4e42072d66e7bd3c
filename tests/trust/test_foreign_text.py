"""Text from files is shown escaped: no control character of it reaches a terminal or a page."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import yaml
from hypothesis import given
from hypothesis import strategies as st
from invocation import edgeprune
from report_examples import full

from edgeprune.printable import printable
from edgeprune.report import formats
from edgeprune.report.files import save

if TYPE_CHECKING:
    from pathlib import Path

TITLE = "\x1b]0;owned\x07\x1b[2J\u202egnp"


@given(st.text())
def test_what_is_shown_prints_and_says_the_same(text: str) -> None:
    shown = printable(text, keep="")
    assert shown.isprintable()
    assert (shown == text) == text.isprintable()


@given(st.text(st.characters(codec="utf-8")))
def test_lines_and_tabs_may_stay(text: str) -> None:
    assert [c for c in printable(text) if not c.isprintable()] == [c for c in text if c in "\n\t"]


def dangerous(text: str) -> set[str]:
    return {c for c in text if not c.isprintable()} - {"\n", "\t", "\x1b"}


def test_a_report_with_escape_sequences_shows_them_as_text(tmp_path: Path) -> None:
    report = replace(full(), notes=(TITLE,), command=TITLE)
    assert report.model is not None
    report = replace(report, model=replace(report.model, name=TITLE))
    for show in (formats.as_markdown, formats.as_html):
        text = show(report)
        assert "\x1b" not in text
        assert not dangerous(text)
    assert "\x1b]" not in formats.as_table(report)
    save(report, tmp_path / "report.json")
    ran = edgeprune("check", tmp_path / "report.json", "--fail-if", "macs.ratio > 2")
    assert ran.code == 0
    assert "\x1b]" not in ran.out + ran.err


def test_a_recipes_keys_are_shown_escaped(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({TITLE: 1}))
    ran = edgeprune("compress", "nothing.pt", "--recipe", recipe)
    assert ran.code == 2
    assert "\\x1b]0;owned" in ran.err
    assert "\x1b]" not in ran.err
    assert not dangerous(ran.err)
