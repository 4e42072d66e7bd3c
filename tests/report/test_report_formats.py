import re
from dataclasses import fields, replace
from pathlib import Path

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_examples import benched, full, unmeasured

from edgeprune import units as q
from edgeprune.report import formats, gates, rows
from edgeprune.report.document import ReportDocument
from edgeprune.report.files import decode


def cells(section: rows.Section) -> list[str]:
    return [cell for row in section.rows for cell in row]


@pytest.mark.parametrize("name", ["table", "markdown"])
def test_the_main_figures_stand_before_and_after(name: str) -> None:
    text = click.unstyle(formats.FORMATS[name](full()))
    for said in (
        *("2.00 M", "1.00 M", "8.00 KiB", "1.00 KiB", "12.0 ms", "6.00 ms", "3.81 MiB"),
        *("0.50× (0.48–0.54)", "93.0%", "91.0%", "−2.0 points", "95.0%", "80.0%"),
        *("asked 50.0%, reached 49.0%", "proved", "lbyl"),
    ):
        assert said in text, said


def test_markdown_holds_everything_that_the_sections_say() -> None:
    document = gates.judge(full(), ["accuracy.drop > 1%"])
    text = re.sub(r"\\(.)", r"\1", formats.as_markdown(document))
    for section in rows.sections(document):
        assert f"## {section.title}" in text
        for cell in cells(section):
            assert cell in text
    for said in ("no simplifier", "folded 7 layers", "fc|x", "it makes the output", "Abacus 9000"):
        assert said in text
    for note in document.notes:
        assert note in text


@pytest.mark.parametrize("name", ["table", "markdown"])
def test_how_the_original_sees_the_images_is_told(name: str) -> None:
    text = " ".join(re.sub("[│|]", " ", click.unstyle(formats.FORMATS[name](full()))).split())
    assert "distill: 128 images: statistics shifted by 0.50 standard deviations" in text
    assert "75% sure on average, 10 classes seen" in text
    assert "imagined by the original" in text


def test_notes_are_those_of_every_artifact() -> None:
    notes = "\n".join(full().notes)
    for said in ("a reshape reads it", "compressed.onnx: constant folding", "was busy"):
        assert said in notes


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
    assert "accuracy" not in text
    assert "None" not in text
    formats.as_table(document)


def test_one_model_has_one_column() -> None:
    assert rows.figures(benched()).header == ("", "model")
    assert all(len(row) == 2 for row in rows.figures(benched()).rows)


def test_every_row_is_as_long_as_its_header() -> None:
    for document in (full(), unmeasured(), benched()):
        for section in rows.sections(document):
            assert {len(row) for row in section.rows} == {len(section.header)}


def test_a_proof_that_does_not_hold_is_said_aloud() -> None:
    document = full()
    assert document.surgery is not None
    failed = replace(document, surgery=replace(document.surgery, max_rel_diff=None))
    assert "NOT proved" in formats.as_markdown(failed)


def test_a_run_directory_gets_every_file(tmp_path: Path) -> None:
    formats.write(full(), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"report.json", "report.md", "report.html"}
    assert decode(tmp_path).command == full().command
    assert formats.as_json(decode(tmp_path)).encode() == (tmp_path / "report.json").read_bytes()


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (q.duration(8.2e-6), "8.20 µs"),
        (q.duration(0.00821), "8.21 ms"),
        (q.duration(12), "12.0 s"),
        (q.duration(125), "2 min 5 s"),
        (q.size(512), "512 B"),
        (q.size(1536), "1.50 KiB"),
        (q.size(3 * 2**30), "3.00 GiB"),
        (q.count(7), "7"),
        (q.count(1_820_000_000), "1.82 G"),
        (q.times(0.52, 0.5, 0.54), "0.52× (0.50–0.54)"),
        (q.percent(0.9134), "91.3%"),
        (q.points(-0.004), "−0.4 points"),
        (q.difference(None), "not finite"),
        *((write(None), "–") for write in (q.duration, q.size, q.count, q.times, q.percent)),
    ],
)
def test_quantities_read_as_people_write_them(written: str, value: str) -> None:
    assert written == value


def test_every_figure_of_a_side_is_told() -> None:
    told = {figure.of(full().original) for figure in rows.FIGURES}
    side = full().original
    for field in fields(side):
        value = getattr(side, field.name)
        if isinstance(value, (int, float)):
            assert value in told
