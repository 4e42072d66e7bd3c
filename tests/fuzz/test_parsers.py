"""Every parser of foreign files ends well or in an error of edgeprune's own, whatever it reads.

Inputs are files of ``corpus/`` (``benchmarks/trust/seeds.py`` writes it) changed by the mutators
that ``benchmarks/trust/mutations.py`` uses by the thousand, and bytes out of nothing.
``EDGEPRUNE_FUZZ=20`` tries twenty times as many, and others each time.
"""

from __future__ import annotations

import os
import warnings
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutators import RAW, mutated
from parsers import PARSERS, REFUSALS, Parser

if TYPE_CHECKING:
    from pathlib import Path

TIMES = int(os.environ.get("EDGEPRUNE_FUZZ", "1"))

fuzzed = settings(
    max_examples=40 * TIMES,
    deadline=None,
    derandomize=TIMES == 1,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(params=PARSERS)
def parser(request: pytest.FixtureRequest) -> Parser:
    return PARSERS[request.param]


def read(parser: Parser, folder: Path, name: str, data: bytes) -> object:
    """What a parser makes of a file in a new folder; None if it refuses it, with an exit code."""
    place = folder / str(sum(1 for _ in folder.iterdir()))
    place.mkdir()
    (place / name).write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return parser.read(place / name)
        except REFUSALS as error:
            if getattr(error, "exit_code", 2) == 1:
                raise AssertionError("this would be called a bug") from error
            return None


def test_the_corpus_is_good(parser: Parser, tmp_path: Path) -> None:
    for path in parser.files():
        assert read(parser, tmp_path, path.name, path.read_bytes()) is not None


@fuzzed
@given(data=st.data())
def test_damage_is_refused_or_changes_nothing(
    data: st.DataObject, parser: Parser, tmp_path: Path
) -> None:
    path = data.draw(st.sampled_from(parser.files()))
    content = path.read_bytes()
    damage = Random(data.draw(st.integers(0, 2**32)))
    content = mutated(content, data.draw(st.sampled_from(RAW)), damage)
    found = read(parser, tmp_path, path.name, content)
    if parser.checked and found is not None:
        assert found == read(parser, tmp_path, path.name, path.read_bytes())


@fuzzed
@given(data=st.data())
def test_what_a_format_allows_is_read_or_refused(
    data: st.DataObject, parser: Parser, tmp_path: Path
) -> None:
    path = data.draw(st.sampled_from(parser.files()))
    content = path.read_bytes()
    changes = st.lists(st.sampled_from(parser.structure), min_size=1, max_size=3)
    for mutator in data.draw(changes):
        content = mutated(content, mutator, Random(data.draw(st.integers(0, 2**32))))
    read(parser, tmp_path, path.name, content)


@fuzzed
@given(content=st.binary(max_size=200))
def test_bytes_out_of_nothing_are_refused(content: bytes, parser: Parser, tmp_path: Path) -> None:
    read(parser, tmp_path, parser.files()[0].name, content)
