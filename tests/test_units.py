"""Quantities: what is printed parses back, and what cannot be meant is refused."""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprune import units
from edgeprune.loading import parse_shape
from edgeprune.units import Quantity, parse, parse_amount, parse_duration, parse_share

THREE_DIGITS = 0.0051
"""Half a unit of the third digit at most, relative to the figure, with rounding on top."""


@given(st.floats(1e-6, 119))
def test_a_time_in_one_unit_parses_back_to_three_digits(seconds: float) -> None:
    read = parse(units.duration(seconds))
    assert read.kind == "s"
    assert read.value == pytest.approx(seconds, rel=THREE_DIGITS)


@given(st.lists(st.integers(1, 4096), min_size=2).map(lambda lengths: (1, *lengths)))
def test_a_shape_is_written_as_input_takes_it(shape: tuple[int, ...]) -> None:
    assert parse_shape(units.dimensions(shape)) == shape


@given(st.floats(120, 1e6))
def test_minutes_parse_back_to_the_second(seconds: float) -> None:
    read = parse(units.duration(seconds))
    assert read.kind == "s"
    assert 0 <= seconds - read.value < 1


@given(st.integers(0, 2**50))
def test_a_size_parses_back_to_three_digits(number_of_bytes: int) -> None:
    read = parse(units.size(number_of_bytes))
    assert read.kind == "bytes"
    assert read.value == pytest.approx(number_of_bytes, rel=THREE_DIGITS)


@given(st.integers(0, 10**15))
def test_a_count_parses_back_to_three_digits(number: int) -> None:
    read = parse(units.count(number))
    assert read.kind == ("count" if number >= 1000 else None)
    assert read.value == pytest.approx(number, rel=THREE_DIGITS)


@given(st.floats(-10, 10))
@pytest.mark.parametrize("write", [units.percent, units.round_percent])
def test_a_share_parses_back_to_a_tenth_of_a_per_cent(write, share: float) -> None:
    read = parse(write(share))
    assert read.kind == "ratio"
    assert read.value == pytest.approx(share, abs=0.00051)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_plain_number_is_itself(number: float) -> None:
    assert parse(repr(number)) == Quantity(number, None)


@pytest.mark.parametrize(("unit", "meaning"), units.UNITS.items())
@given(number=st.floats(-1e6, 1e6))
def test_a_unit_scales_to_that_of_its_kind(
    unit: str, meaning: tuple[float, str], number: float
) -> None:
    factor, kind = meaning
    for text in (f"{number!r}{unit}", f" {number!r} {unit} "):
        read = parse(text)
        assert (read.kind, read.unit) == (kind, unit)
        assert read.value == pytest.approx(number * factor)


@pytest.mark.parametrize("kind", ["s", "bytes", "count", "ratio"])
def test_every_kind_has_a_printer_and_units(kind: str) -> None:
    assert kind in units.PRINTERS
    assert kind in {of for _, of in units.UNITS.values()}
    assert units.PRINTERS[kind](None) == units.UNKNOWN


@given(st.integers(1, 10**6), st.sampled_from(sorted(units.TYPED_TIMES)))
def test_a_typed_time_is_so_many_of_its_unit(number: int, unit: str) -> None:
    factor, _ = units.TYPED_TIMES[unit]
    assert parse_duration(f"{number}{unit}") == number * factor
    assert parse_duration(f"{number}") == number


@given(st.integers(1, 99))
def test_a_typed_share_may_be_in_per_cent(number: int) -> None:
    assert parse_share(f"{number}%") == number / 100
    assert parse_share(repr(number / 100)) == number / 100


@given(st.integers(0, 10**6), st.sampled_from("%kKmMgG"))
def test_a_typed_amount_is_a_share_or_a_count(number: int, unit: str) -> None:
    read = parse_amount(f"{number}{unit}")
    assert read == parse_amount(f" {number} {unit.upper()} ")
    factor = {"%": 0.01, "K": 1e3, "M": 1e6, "G": 1e9}[unit.upper()]
    assert read.value == pytest.approx(number * factor)
    assert read.kind == ("ratio" if unit == "%" else "count")
    assert parse_amount(str(number)) == Quantity(number, None)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        *((parse, text) for text in ("", "ms", "1 2", "1.2.3", "--1", "0x10", "1 ms s", "nan")),
        *((parse, text) for text in ("5 parsec", "5 MIB", "2 min s", "2 min 5")),
        *((parse_duration, text) for text in ("", "0", "-1s", "1e3", "10 m", "5d", "9" * 400)),
        *((parse_share, text) for text in ("", "0", "1", "100%", ".5 %", "1s", "-1%", "5.")),
        *((parse_amount, text) for text in ("", "-5%", "1e6", "20T", "5 0%", "50%%", "inf", ".")),
    ],
)
def test_what_is_no_such_quantity_is_refused(read, text: str) -> None:
    with pytest.raises(ValueError, match=r"quantity|unit|time|between"):
        read(text)


def test_a_word_behind_a_number_is_named() -> None:
    with pytest.raises(units.UnknownUnit) as caught:
        parse("5 parsec")
    assert caught.value.unit == "parsec"


@given(st.text(max_size=12))
def test_any_text_is_a_quantity_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert not math.isnan(parse(text).value)
    with contextlib.suppress(ValueError):
        assert parse_amount(text).value >= 0


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (units.duration(8.2e-6), "8.20 µs"),
        (units.duration(0.00821), "8.21 ms"),
        (units.duration(12), "12.0 s"),
        (units.duration(125), "2 min 5 s"),
        (units.size(512), "512 B"),
        (units.size(1536), "1.50 KiB"),
        (units.size(3 * 2**30), "3.00 GiB"),
        (units.count(7), "7"),
        (units.count(1_820_000_000), "1.82 G"),
        (units.times(0.52, 0.5, 0.54), "0.52× (0.50–0.54)"),
        (units.percent(0.9134), "91.3%"),
        (units.percent(0.5), "50.0%"),
        (units.round_percent(0.5), "50%"),
        (units.round_percent(0.125), "12.5%"),
        (units.whole_percent(0.4936), "49%"),
        (units.rate(12.34), "12.3 /s"),
        (units.points(-0.004), "−0.4 points"),
        (units.difference(None), "not finite"),
        *((write(None), "–") for write in (*units.PRINTERS.values(), units.times)),
    ],
)
def test_quantities_read_as_people_write_them(written: str, value: str) -> None:
    assert written == value
