import re
from dataclasses import replace
from pathlib import Path

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_examples import benched, full, unmeasured

from edgeprune.report import formats, gates, rows
from edgeprune.report.document import ReportDocument
from edgeprune.report.files import decode


def cells(section: rows.Section) -> list[str]:
    return [cell for row in section.rows for cell in row]


def unwrapped(name: str) -> str:
    """The report as one line of text, without the lines of its tables."""
    text = click.unstyle(formats.FORMATS[name](full()))
    return " ".join(re.sub(r"[│|\\]", " ", text).split())


@pytest.mark.parametrize("name", ["table", "markdown"])
def test_the_main_figures_stand_before_and_after(name: str) -> None:
    text = unwrapped(name)
    for cell in (
        *("2.00 M", "1.00 M", "8.00 KiB", "1.00 KiB", "12.0 ms", "6.00 ms", "3.81 MiB"),
        *("0.50× (0.48–0.54)", "93.0%", "91.0%", "−2.0 points", "95.0%", "80.0%"),
        *("MACs 49.0% of the original (target 50%)", "exact: ", "lbyl", "verified on 16 inputs: "),
        *("top-1 identical on 16 of 16", "latency, p5"),
    ):
        assert " ".join(cell.split()) in text, cell


def test_markdown_holds_everything_that_the_sections_say() -> None:
    document = gates.judge(full(), ["accuracy.drop > 1%"])
    text = re.sub(r"\\(.)", r"\1", formats.as_markdown(document))
    for section in rows.sections(document):
        assert f"## {section.title}" in text
        for cell in cells(section):
            assert cell in text
    for cell in ("no simplifier", "folded 7 layers", "fc|x", "it makes the output", "Abacus 9000"):
        assert cell in text
    for note in document.notes:
        assert note in text


@pytest.mark.parametrize("name", ["table", "markdown"])
def test_how_the_original_sees_the_images_is_shown(name: str) -> None:
    assert (
        "distill: 128 synthesized images: BatchNorm statistics off by 0.50 σ (white noise: 2.00); "
        "mean confidence 75%, 10 classes seen"
    ) in unwrapped(name)


def test_notes_are_those_of_every_artifact() -> None:
    notes = "\n".join(full().notes)
    for note in ("a reshape reads it", "compressed.onnx: constant folding", "was busy"):
        assert note in notes


@settings(deadline=None, max_examples=50)  # a busy machine is slow
@given(st.text(max_size=40))
def test_markdown_tables_keep_their_shape(text: str) -> None:
    document = replace(full(), notes=(text,), command=text)
    for line in formats.as_markdown(document).splitlines():
        if line.startswith("|"):
            columns = len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) - 1
            assert columns in (2, 3, 4)
        else:
            assert line == "" or line.startswith("#")


@settings(deadline=None, max_examples=50)  # a busy machine is slow
@given(st.text("[]/bold red\\", max_size=20))
def test_the_table_shows_brackets_as_they_are(text: str) -> None:
    section = rows.Section("title", ("name", "value"), ((text, "1"),))
    assert formats._table(section).columns[0]._cells[0].plain == text  # type: ignore[union-attr]


@pytest.mark.parametrize("document", [unmeasured(), benched()])
def test_what_a_run_did_not_do_is_left_out(document: ReportDocument) -> None:
    text = formats.as_markdown(document)
    assert "agreement" not in text
    assert "None" not in text
    formats.as_table(document)


@pytest.mark.parametrize("layout", ["table", "markdown", "html", "json"])
def test_a_result_of_unknown_accuracy_says_so_everywhere(layout: str) -> None:
    def said(document: ReportDocument) -> bool:
        text = click.unstyle(formats.FORMATS[layout](document))
        words = re.sub(r"<[^>]*>|[│|:\"{]", " ", text).split()
        return "accuracy not measured pass --eval" in " ".join(words).lower()

    assert said(unmeasured())
    assert not said(full())
    assert not said(benched())  # a measurement of files claims nothing about what they answer


def test_a_report_from_before_it_was_said_is_read_as_it_was() -> None:
    earlier = replace(unmeasured(), unmeasured={})
    assert "not measured" not in formats.as_table(earlier)


def test_one_model_has_one_column() -> None:
    assert rows.figures(benched()).header == ("", "model")
    assert all(len(row) == 2 for row in rows.figures(benched()).rows)


def test_every_row_is_as_long_as_its_header() -> None:
    for document in (full(), unmeasured(), benched()):
        for section in rows.sections(document):
            assert {len(row) for row in section.rows} == {len(section.header)}


def test_a_proof_that_does_not_hold_stands_in_red() -> None:
    document = full()
    assert document.surgery is not None
    failed = replace(document, surgery=replace(document.surgery, max_rel_diff=None))
    assert "NOT exact" in formats.as_markdown(failed)
    assert "\x1b[1;31mNOT exact" in formats.as_table(failed)


def test_a_run_directory_gets_every_file(tmp_path: Path) -> None:
    formats.write(full(), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"report.json", "report.md", "report.html"}
    assert decode(tmp_path).command == full().command
    assert formats.as_json(decode(tmp_path)).encode() == (tmp_path / "report.json").read_bytes()
