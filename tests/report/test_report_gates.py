import contextlib
import math
import operator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_examples import benched, full, unmeasured

from edgeprune.errors import UsageError
from edgeprune.report import gates, paths
from edgeprune.report.files import as_dict

OPERATORS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}

FIGURES = st.integers(-1000, 1000) | st.floats(-1e3, 1e3, allow_nan=False)


def passed(expression: str, report: dict[str, object] | None = None) -> bool:
    (gate,) = gates.evaluate([expression], report or as_dict(full()))
    return gate.passed


@settings(deadline=None)  # a busy machine is slow
@given(FIGURES, st.sampled_from(list(OPERATORS)), FIGURES)
def test_a_gate_fails_exactly_when_its_comparison_is_true(
    value: float, relation: str, limit: float
) -> None:
    report: dict[str, object] = {"ratio": {"macs": value}}
    assert passed(f"ratio.macs {relation} {limit!r}", report) is not OPERATORS[relation](
        value, limit
    )


@settings(deadline=None)  # a busy machine is slow
@given(st.booleans(), st.booleans(), st.booleans())
def test_and_binds_tighter_than_or(a: bool, b: bool, c: bool) -> None:
    report: dict[str, object] = {"ratio": {"macs": int(a), "params": int(b), "bytes": int(c)}}
    either = "ratio.macs == 1 or ratio.params == 1 and ratio.bytes == 1"
    assert passed(either, report) is not (a or (b and c))
    both = "ratio.macs == 1 and ratio.params == 1 or ratio.bytes == 1"
    assert passed(both, report) is not ((a and b) or c)


@pytest.mark.parametrize(("alias", "path"), paths.ALIASES.items())
def test_an_alias_is_its_path(alias: str, path: str) -> None:
    assert path in paths.numeric_paths()
    assert alias not in paths.numeric_paths()
    assert gates.needs(f"{alias} > 0.5") == (path,) == gates.needs(f"{path} > 0.5")


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("accuracy.drop > 1%", 0.01),
        ("latency.median > 8ms", 0.008),
        ("latency.median > 8 us", 8e-6),
        ("latency.p99 > 8µs", 8e-6),
        ("latency.p90 > .5s", 0.5),
        ("size > 2MB", 2e6),
        ("size > 2 KB", 2e3),
        ("size > 2KiB", 2048),
        ("peak_rss > 2MiB", 2 * 2**20),
        ("compressed.onnx.bytes > 1GB", 1e9),
        ("macs > 1.5M", 1.5e6),
        ("params > 3K", 3e3),
        ("macs > 1e9", 1e9),
        ("macs > 2G", 2e9),
        ("budget.reached > 50%", 0.5),
        ("budget.reached > 5ms", 0.005),
        ("accuracy.drop > -1%", -0.01),
    ],
)
def test_units_are_those_of_the_report(written: str, plain: float) -> None:
    ((comparison,),) = gates.parse(written).any_of
    assert comparison.limit == pytest.approx(plain)


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("", "cannot read"),
        ("accuracy.drop", "cannot read"),
        ("accuracy.drop > ", "cannot read"),
        ("accuracy.drop > big", "cannot read"),
        ("1% < accuracy.drop", "cannot read"),
        ("macs > 1 and", "cannot read|unknown unit"),
        ("or macs > 1", "cannot read"),
        ("macs => 1", "cannot read"),
        ("macs > 1 > 2", "cannot read"),
        ("__import__('os') > 1", "cannot read"),
        ("macs > 1 parsec", "unknown unit 'parsec'"),
        ("accuracy.dorp > 1%", "accuracy.drop"),
        ("latency.ratio.hihg > 1", "latency.ratio.high"),
        ("accuracy > 1%", "accuracy.drop"),
        ("model.name > 1", "no number"),
        ("zzz > 1", "no number"),
        ("latency.ratio.high > 8ms", "not in ms"),
        ("latency.median > 8MB", "not in MB"),
        ("size > 8M", "not in M"),
        ("macs > 50%", "not in %"),
        ("accuracy.drop > 1.5", "1.5 per cent is 1.5%"),
        ("accuracy.drop > 150%", "cannot be as large"),
        ("macs > 1e999", "cannot be as large"),
    ],
)
def test_what_cannot_mean_anything_is_refused(expression: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        gates.parse(expression)


@settings(deadline=None)  # a busy machine is slow
@given(st.text(max_size=30) | st.text("macs >.1%andor()", max_size=30))
def test_any_text_is_an_expression_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert gates.parse(text).paths


@pytest.mark.parametrize(
    ("expression", "flag"),
    [
        ("accuracy.drop > 1%", "--eval"),
        ("agreement.recovered < 90%", "--images"),
        ("latency.ratio.high > 0.8", "--no-bench"),
        ("ratio.peak_rss > 0.8", "--no-bench"),
        ("latency.median > 8ms", "--no-bench"),
    ],
)
def test_a_figure_that_is_not_there_never_passes(expression: str, flag: str) -> None:
    report = as_dict(unmeasured())
    with pytest.raises(UsageError, match=flag):
        gates.evaluate([expression], report)
    with pytest.raises(UsageError, match=flag):
        gates.evaluate([f"ratio.macs > 0.1 or {expression}"], report)
    with pytest.raises(UsageError, match=flag):
        gates.require([expression], ["accuracy", "agreement", *paths.MEASURED])


def test_a_figure_that_is_not_finite_never_passes() -> None:
    report = as_dict(full())
    report["parity"]["max_rel_diff"] = None
    with pytest.raises(UsageError, match="not a finite number"):
        gates.evaluate(["parity.max_rel_diff > 0.1"], report)


def test_figures_that_will_be_there_are_accepted_up_front() -> None:
    wanted = ["ratio.macs > 0.6", "accuracy.drop > 1%"]
    gates.require(wanted, paths.MEASURED)
    assert [gate.passed for gate in gates.judge(full(), wanted).gates] == [True, False]


def test_a_report_judged_keeps_what_was_compared() -> None:
    judged = gates.judge(full(), ["latency.ratio.high > 0.8", "accuracy.drop > 1%"])
    assert [gate.passed for gate in judged.gates] == [True, False]
    assert judged.gates[0].value == 0.54
    assert judged.gates[1].values == {"accuracy.drop": pytest.approx(0.02)}


def test_every_number_of_a_report_has_a_path_and_a_kind() -> None:
    def numbers(content: object, prefix: str) -> set[str]:
        if isinstance(content, dict):
            inside = (numbers(value, f"{prefix}.{key}") for key, value in content.items())
            return set().union(*inside)
        number = isinstance(content, (int, float)) and not isinstance(content, bool)
        return {prefix[1:]} if number else set()

    for document in (full(), benched()):
        content = {k: v for k, v in as_dict(document).items() if k != "environment"}
        assert numbers(content, "") <= paths.numeric_paths()
    kinds = {paths.dimension(path) for path in paths.numeric_paths()}
    assert kinds == {"s", "bytes", "count", "ratio", "fraction", "any"}


@settings(deadline=None)  # a busy machine is slow
@given(st.sampled_from(sorted(paths.numeric_paths())), st.floats(0, 1))
def test_every_path_takes_a_plain_number(path: str, limit: float) -> None:
    ((comparison,),) = gates.parse(f"{path} >= {limit!r}").any_of
    assert math.isclose(comparison.limit, limit)
