"""A mixture of float and 8-bit layers is delivered where it is measured to be faster."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import onnx
import pytest
from qdq_chain import float_chain, quantized_chain

from edgeprune import bench
from edgeprune.artifacts import OperatorTimes, RatioInterval
from edgeprune.pipeline import mixing
from edgeprune.pipeline.config import CompressConfig
from edgeprune.pipeline.stage_log import StageLog

SLOW_STEM = {"float": (10, 10, 10), "int8": (90, 2, 2)}


class Written:
    """Stands for ``Quantize``: writes a file, and remembers what it was asked to leave in float."""

    def written(self, prepared, path, progress, *, slower):
        self.slower = slower
        path.write_bytes(b"a mixture")
        return Quantized(path, "mixed")


@dataclass(frozen=True)
class Quantized:
    path: object
    name: str
    kept_float: dict[str, str] = field(default_factory=dict)


def told(microseconds):
    names = ("/stem/Conv", "middle", "last")
    return tuple(
        OperatorTimes(name, "Conv", (us * 1e-6,) * 3)
        for name, us in zip(names, microseconds, strict=True)
    )


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Mix with given times of operators and a given latency of the mixture."""
    files = tmp_path / "compressed.onnx", tmp_path / "compressed.int8.onnx"
    onnx.save(float_chain(), files[0])
    onnx.save(quantized_chain(), files[1])
    quantize, log = Written(), StageLog()

    def mix(times, ratio, config=CompressConfig(precision="int8")):  # noqa: B008 - frozen
        by_file = {files[0]: times["float"], files[1]: times["int8"]}
        monkeypatch.setattr(
            mixing, "operator_times", lambda path, *_: by_file[path] and told(by_file[path])
        )
        latency = SimpleNamespace(latency=RatioInterval(ratio, ratio, ratio, 0.95))
        monkeypatch.setattr(bench, "compare", lambda *_: latency)
        prepared = SimpleNamespace(known=SimpleNamespace(model=float_chain()))
        given = SimpleNamespace(path=files[0]), Quantized(files[1], "int8")
        made = mixing.mixed(quantize, prepared, given, config, log)
        return made, getattr(quantize, "slower", None), log, files[1]

    return mix


def test_a_faster_mixture_takes_the_place_of_the_file(run):
    made, slower, log, path = run(SLOW_STEM, 0.6)
    assert made.name == "mixed"
    assert made.path == path
    assert path.read_bytes() == b"a mixture"
    assert "/stem/Conv" in slower
    assert "middle" not in slower
    assert [stage.name for stage in log.records] == ["mix precisions"]
    assert "0.60×" in log.records[0].detail


def test_a_mixture_that_is_no_faster_is_thrown_away(run):
    made, _, _, path = run(SLOW_STEM, 1.02)
    assert made.name == "int8"
    onnx.checker.check_model(onnx.load(path))
    assert [each.name for each in path.parent.iterdir() if "mixed" in each.name] == []


@pytest.mark.parametrize(
    ("times", "why"),
    [
        ({"float": (10, 10, 10), "int8": (2, 2, 2)}, "no layer is faster in float"),
        ({"float": (10, 10, 10), "int8": (30, 30, 30)}, "every layer is faster in float"),
        ({"float": None, "int8": None}, "onnxruntime does not tell how long operators take"),
    ],
    ids=["all faster in 8 bits", "none faster", "times not told"],
)
def test_nothing_is_written_where_there_is_nothing_to_mix(run, times, why):
    made, slower, log, _ = run(times, 0.5)
    assert made.name == "int8"
    assert slower is None
    assert [stage.detail for stage in log.records] == [why]


def test_nothing_is_mixed_that_is_not_measured_in_seconds(run):
    emulated = SimpleNamespace(measures="instructions")
    settings = bench.BenchSettings(device=emulated)
    for config in (CompressConfig(bench=None), CompressConfig(bench=settings)):
        _, slower, log, _ = run(SLOW_STEM, 0.5, config)
        assert slower is None
        assert not log.records
