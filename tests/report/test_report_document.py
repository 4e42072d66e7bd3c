import json
import math
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_examples import benched, full, full_run, note, unmeasured

from edgeprune.artifacts import ImageQuality, RecoveryStep
from edgeprune.errors import UsageError
from edgeprune.report import assemble, rows
from edgeprune.report.document import ReportDocument, Surgery
from edgeprune.report.files import as_dict, decode, encode, save


@pytest.mark.parametrize("document", [full(), unmeasured(), benched()])
def test_what_is_written_reads_back_the_same(document: ReportDocument) -> None:
    assert encode(decode(encode(document))) == encode(document)
    assert json.loads(encode(document)) == as_dict(document)


def test_main_keys_are_those_of_the_contract() -> None:
    assert list(as_dict(full())) == [
        *("schema_version", "edgeprune", "created", "command", "seed", "model", "budget"),
        *("original", "compressed", "ratio", "accuracy", "agreement", "surgery", "parity"),
        *("coverage", "recovery", "stages", "environment", "notes", "gates"),
        *("layers", "baseline", "runtime_parity", "runtimes", "fidelity", "precision"),
        *("unmeasured", "outputs", "alternatives"),
    ]
    assert set(as_dict(full())["environment"]) >= {
        *("machine", "cpu", "cores", "threads", "governor"),
        *("os", "python", "packages", "runtime", "device"),
    }


def test_blocks_of_samples_can_be_recovered() -> None:
    run = full_run()
    assert run.comparison is not None
    latency = full().original.latency_s
    assert latency is not None
    samples = iter(latency.samples)
    blocks = tuple(tuple(next(samples) for _ in range(length)) for length in latency.blocks)
    assert blocks == run.comparison.original.blocks_s
    assert latency.n == len(latency.samples)


def test_sessions_of_samples_can_be_recovered() -> None:
    run = full_run()
    assert run.comparison is not None
    sessions = run.comparison.compressed.sessions
    side = full().compressed
    assert side is not None
    assert side.latency_s is not None
    assert side.latency_s.sessions == tuple(len(session.blocks_s) for session in sessions)
    assert side.load_samples_s == tuple(session.load_s for session in sessions)
    assert side.load_s == pytest.approx(statistics.median(side.load_samples_s))
    assert side.first_s == pytest.approx(statistics.median(side.first_samples_s))


def test_memory_and_throughput_follow_from_what_was_measured() -> None:
    before, after = full().original, full().compressed
    assert after is not None
    assert before.latency_s is not None
    assert before.inferences_per_s == pytest.approx(5 / sum(before.latency_s.samples))
    assert (before.load_peak_rss_bytes, before.run_peak_rss_bytes) == (4_000_000, 2_500_000)
    assert (before.peak_rss_bytes, after.peak_rss_bytes) == (4_000_000, 3_000_000)
    assert full().ratio.profile_peak == 1.0  # type: ignore[union-attr]


ADDED = {
    "latency_s": ("sessions", "p5"),
    "": (
        *("inferences_per_s", "load_peak_rss_bytes", "run_peak_rss_bytes", "profile_peak_bytes"),
        *("load_samples_s", "first_samples_s"),
    ),
}


def test_a_report_from_before_there_were_sessions_is_still_read_and_shown() -> None:
    content = as_dict(full())
    del content["ratio"]["profile_peak"]
    for side in (content["original"], content["compressed"]):
        for key in ADDED["latency_s"]:
            del side["latency_s"][key]
        for key in ADDED[""]:
            del side[key]
    old = decode(json.dumps(content).encode())
    assert old.original.inferences_per_s is None
    shown = {row[0]: row[-1] for row in rows.figures(old).rows}
    assert "latency, p5" not in shown
    assert shown["latency, median"] == "0.50× (0.48–0.54)"
    assert "(" not in shown["latency, p90"]


@settings(deadline=None, max_examples=30)  # a busy machine is slow
@given(st.floats())
def test_figures_that_are_not_finite_are_still_json(figure: float) -> None:
    run = full_run()
    assert run.surgery is not None
    document = assemble.assemble(replace(run, surgery=replace(run.surgery, max_rel_diff=figure)))
    surgery = decode(encode(document)).surgery
    assert surgery is not None
    assert surgery.max_rel_diff == (figure if math.isfinite(figure) else None)


@settings(deadline=None, max_examples=30)  # a busy machine is slow
@given(st.dictionaries(st.text(), st.text() | st.floats() | st.lists(st.floats()), max_size=4))
def test_any_environment_is_valid_json(environment: dict[str, object]) -> None:
    data = encode(replace(full(), environment=environment))
    json.loads(data, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert decode(data).environment.keys() == environment.keys()


def test_text_that_looks_like_numbers_is_left_alone() -> None:
    document = replace(full(), notes=("[\n 1,\n 2\n]", "[ 1 2 ]"))
    assert decode(encode(document)).notes == document.notes


def test_samples_stand_in_one_line() -> None:
    lines = encode(full()).decode().splitlines()
    assert any(line.strip().startswith('"samples": [0.01, 0.012') for line in lines)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not an edgeprune report"),
        (b"{}", "no schema_version"),
        (b'{"schema_version": 2}', "schema_version 2"),
        (b'{"schema_version": 1}', "missing required field `edgeprune`"),
    ],
)
def test_what_is_not_a_report_is_named(content: bytes, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        decode(content)


@pytest.mark.parametrize("key", ["seed", "accuracy", "gates", "compressed"])
def test_no_key_may_be_missing(key: str) -> None:
    content = as_dict(full())
    del content[key]
    with pytest.raises(UsageError, match=f"missing required field `{key}`"):
        decode(json.dumps(content).encode())


def test_wrong_type_is_named_with_its_place() -> None:
    content = as_dict(full())
    content["original"]["macs"] = "many"
    with pytest.raises(UsageError, match=r"original\.macs"):
        decode(json.dumps(content).encode())


def test_a_run_directory_stands_for_its_report(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    save(full(), tmp_path / "run" / "report.json")
    assert decode(tmp_path / "run") == decode(tmp_path / "run" / "report.json")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["report.json"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        decode(tmp_path / "nowhere.json")
    document = full()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        save(document, tmp_path / "file" / "report.json")


def test_images_and_losses_of_recovery_are_in_the_report() -> None:
    trained = json.loads(encode(full()))["recovery"][1]
    assert trained["curve"] == [[0, None], [50, 0.25]]
    detail = trained["quality"].pop("detail")
    assert "BatchNorm statistics off by 0.50 σ (white noise: 2.00)" in detail
    assert trained["quality"] == {
        "images": 128,
        "statistics_shift": 0.5,
        "noise_shift": 2.0,
        "confidence": 0.75,
        "classes": 10,
        "imagined": True,
        "passed": True,
    }
    assert decode(encode(full())).recovery == full().recovery


def test_a_report_from_before_a_key_was_added_is_still_read() -> None:
    content = as_dict(full())
    for step in content["recovery"]:
        del step["curve"], step["quality"], step["notes"]
    del content["layers"], content["baseline"], content["original"]["latency_s"]["sessions"]
    read = decode(json.dumps(content).encode())
    assert (read.layers, read.baseline) == ((), None)
    assert [(step.curve, step.quality) for step in read.recovery] == [((), None)] * 2
    assert read.recovery[1].detail == "trained"


@settings(deadline=None, max_examples=30)  # a busy machine is slow
@given(st.floats(), st.floats(), st.none() | st.floats())
def test_images_that_no_network_can_judge_are_still_json(
    shift: float, noise: float, confidence: float | None
) -> None:
    found = ImageQuality(4, shift, noise, confidence, None)
    step = RecoveryStep("reconstruct", 1.0, 4, note("fitted"), (), found)
    document = assemble.assemble(replace(full_run(), recovery=(step,)))
    quality = decode(encode(document)).recovery[0].quality
    assert quality is not None
    assert quality.statistics_shift == (shift if math.isfinite(shift) else None)
    assert quality.passed == found.passed


def test_surgery_of_the_artifact_and_of_the_report_agree() -> None:
    assert full().surgery == Surgery(1e-7, 1e-4, ("norm_1",), "float64")
