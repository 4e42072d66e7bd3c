"""What a report says of the precision that is delivered, and why."""

from __future__ import annotations

import pytest

from edgeprune.report.document import Precision, RatioInterval
from edgeprune.report.precision_rows import choice

MEASURED = RatioInterval(0.41, 0.4, 0.42, 0.95)


@pytest.mark.parametrize(
    ("delivered", "ground", "ratio", "said"),
    [
        ("int8", "faster", MEASURED, "int8 delivered: int8 takes 0.41× (0.40–0.42) of the float"),
        ("fp32", "not faster", MEASURED, "int8 is not faster here: int8 takes 0.41×"),
        (
            "fp32",
            "not true enough",
            None,
            "int8 is not true enough: whether int8 is faster was not",
        ),
        ("int8", "smaller", None, "asked for by size: whether int8 is faster was not measured"),
        ("fp32", "not measured", None, "fp32 delivered: whether int8 is faster was not measured"),
    ],
)
def test_what_decided_is_named_whether_or_not_it_was_measured(
    delivered: str, ground: str, ratio: RatioInterval | None, said: str
) -> None:
    found = Precision(
        "auto", delivered, ground, "latency", ratio, 0.29, "u8", {}, 1, "compressed.int8.onnx"
    )
    assert said in choice(found)
