"""The compressed network stands beside what one could do instead."""

from dataclasses import replace

import pytest
from report_examples import full

from edgeprune.artifacts import Alternative, OutputsKept, RatioInterval
from edgeprune.report import alternative_rows, rows, summary


def interval(value):
    return RatioInterval(value, value - 0.01, value + 0.01, 0.95)


def report(own, *alternatives, latency=0.5):
    base = full()
    ratio = replace(base.ratio, latency=interval(latency))
    accuracy = None if own is None else replace(base.accuracy, original=0.9, drop=0.9 - own)
    return replace(base, ratio=ratio, accuracy=accuracy, agreement=None, alternatives=alternatives)


SMALLER = Alternative("smaller image", "24x24 pixels", interval(0.5), 1.0, accuracy=0.87)
INT8 = Alternative("int8 alone", "every layer", interval(0.4), 0.28, outputs=0.99, accuracy=0.899)


def test_an_alternative_that_is_as_fast_and_better_is_named_with_what_to_do():
    (told,) = alternative_rows.better(report(0.80, SMALLER)).values()
    assert told.startswith("smaller image does better without pruning: 87.0% accuracy at 0.50×")
    assert "feed the original smaller images" in told


@pytest.mark.parametrize("own", [0.87, 0.869, 0.95])
def test_an_alternative_that_is_no_better_is_only_a_row(own):
    assert not dict(alternative_rows.better(report(own, SMALLER)))
    assert len(list(alternative_rows.beside(report(own, SMALLER)))) == 2


def test_an_alternative_that_is_slower_is_not_called_better():
    assert not dict(alternative_rows.better(report(0.5, SMALLER, latency=0.4)))


def test_without_labels_the_outputs_are_compared_and_the_unknown_is_open():
    found = replace(report(None, SMALLER, INT8), outputs=OutputsKept(0.4, 64))
    (told,) = alternative_rows.better(found).values()
    assert told.startswith("int8 alone does better without pruning: 99.0% of the outputs")
    cells = [row[3] for row in alternative_rows.beside(found)]
    assert cells == ["40.0% of the outputs", "–", "99.0% of the outputs"]


def test_the_report_has_a_section_and_a_note_only_with_alternatives():
    titles = [section.title for section in rows.sections(report(0.8, INT8))]
    assert "Instead of pruning" in titles
    assert "Instead of pruning" not in [s.title for s in rows.sections(report(0.8))]


def test_the_first_rows_have_it_too():
    found = summary.lines(report(0.80, SMALLER))
    assert found[-1].name == "smaller image"
    assert found[-1].text == "instead: 24x24 pixels, 87.0% accuracy, 1.00× of the size"
    assert found[-1].tone == "note"
