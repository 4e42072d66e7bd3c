"""The table of figures: a row is all it takes, and no number of a model is forgotten."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import types
import typing

import pytest
from report_examples import full

from edgeprune.artifacts import RatioInterval
from edgeprune.report import figures, rows
from edgeprune.report.document import Baseline, Ratio, Side

if typing.TYPE_CHECKING:
    from collections.abc import Iterator

ADD_A_ROW = """
import json, sys
from edgeprune.report import figures
row = figures.Figure(
    "latency_s.n", "inferences", "count", "measuring", alias="inferences", on=figures.TILE
)
figures.FIGURES += (row,)

from edgeprune.report import files, gates, rows
from edgeprune.report.html import headline
report = files.decode(sys.stdin.buffer.read())
print(json.dumps({
    "row": [row for row in rows.figures(report).rows if row[0] == "inferences"],
    "tile": [tile.figure for tile in headline.tiles(report) if tile.label == "Inferences"],
    "gate": gates.judge(report, ["inferences >= 0.005k"]).gates[0].values,
}))
"""
"""Run where nothing has read the table yet, as a line in the file itself would be."""


def numbers(schema: type, prefix: str = "") -> Iterator[str]:
    """Dotted paths of the single numbers of a part of report.json."""
    for name, kind in typing.get_type_hints(schema).items():
        options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
        for option in options:
            if option is RatioInterval:
                yield prefix + name
            elif dataclasses.is_dataclass(option):
                yield from numbers(option, f"{prefix}{name}.")
            elif option in (int, float):
                yield prefix + name


def test_a_row_of_the_table_is_shown_judged_and_in_the_headline() -> None:
    from edgeprune.report.files import encode

    command = [sys.executable, "-c", ADD_A_ROW]
    ran = subprocess.run(command, input=encode(full()), capture_output=True, check=True)
    found = json.loads(ran.stdout)
    assert found["row"] == [["inferences", "5", "5", "1.00×"]]
    assert found["tile"] == ["1.00×"]
    assert found["gate"] == {"compressed.latency_s.n": 5}


def test_every_number_of_a_model_is_a_figure_or_named_as_none() -> None:
    keys = {figure.key for figure in figures.FIGURES}
    assert keys.isdisjoint(figures.DETAILS)
    assert set(numbers(Side)) == keys | set(figures.DETAILS)


def test_every_ratio_is_that_of_one_figure() -> None:
    ratios = [figure.ratio for figure in figures.with_ratio()]
    assert len(ratios) == len(set(ratios))
    assert set(numbers(Ratio)) == {*ratios, "latency"}
    compared = [figure.ratio for figure in figures.shown_on(figures.BASELINE)]
    assert set(numbers(Baseline)) == {*compared, "latency"}


@pytest.mark.parametrize("figure", figures.FIGURES, ids=lambda figure: figure.key)
def test_a_figure_is_what_its_path_in_the_report_holds(figure: figures.Figure) -> None:
    from edgeprune.report.files import as_dict

    found = as_dict(full())["original"]
    for key in figure.key.split("."):
        found = None if found is None else found[key]
    assert figure.of(full().original) == found
    if found is not None:
        shown = {row[0]: row[1] for row in rows.figures(full()).rows}
        assert shown[figure.label] == figure.write(found)


def test_rows_have_names_of_their_own() -> None:
    for names in (
        [figure.key for figure in figures.FIGURES],
        [figure.label for figure in figures.FIGURES],
        [figure.alias for figure in figures.FIGURES if figure.alias],
    ):
        assert len(names) == len(set(names))
