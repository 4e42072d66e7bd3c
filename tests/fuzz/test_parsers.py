"""Every parser of foreign files ends well or in an error of edgeprune's own, whatever it reads.

Inputs are files of ``corpus/`` (``benchmarks/trust/seeds.py`` writes it) changed by the mutators
that ``benchmarks/trust/mutations.py`` uses by the thousand, and bytes out of nothing.
``EDGEPRUNE_FUZZ=20`` tries twenty times as many, and others each time.
"""

from __future__ import annotations

import os
import warnings
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutators import RAW, mutated
from parsers import PARSERS, REFUSALS, Parser, is_refusal, read_bytes

ENDS = ("read", "refused")
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


def tried(parser: Parser, name: str, data: bytes) -> tuple[str, object]:
    """How a file ends in a parser, and what was read, if anything."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return "read", read_bytes(parser, name, data)
        except REFUSALS as error:
            return "refused" if is_refusal(error) else f"called a bug: {error!r}", None


def test_the_corpus_is_good(parser: Parser) -> None:
    for path in parser.files():
        outcome, found = tried(parser, path.name, path.read_bytes())
        assert outcome == "read"
        assert found is not None


@fuzzed
@given(data=st.data())
def test_damage_is_refused_or_changes_nothing(data: st.DataObject, parser: Parser) -> None:
    path = data.draw(st.sampled_from(parser.files()))
    content = path.read_bytes()
    damage = Random(data.draw(st.integers(0, 2**32)))
    content = mutated(content, data.draw(st.sampled_from(RAW)), damage)
    outcome, found = tried(parser, path.name, content)
    assert outcome in ENDS
    if parser.checked and outcome == "read":
        assert found == read_bytes(parser, path.name, path.read_bytes())


@fuzzed
@given(data=st.data())
def test_what_a_format_allows_is_read_or_refused(data: st.DataObject, parser: Parser) -> None:
    path = data.draw(st.sampled_from(parser.files()))
    content = path.read_bytes()
    changes = st.lists(st.sampled_from(parser.structure), min_size=1, max_size=3)
    for mutator in data.draw(changes):
        content = mutated(content, mutator, Random(data.draw(st.integers(0, 2**32))))
    outcome, _ = tried(parser, path.name, content)
    assert outcome in ENDS


@fuzzed
@given(content=st.binary(max_size=200))
def test_bytes_out_of_nothing_are_refused(content: bytes, parser: Parser) -> None:
    outcome, _ = tried(parser, parser.files()[0].name, content)
    assert outcome in (("refused",) if parser.checked else ENDS)
