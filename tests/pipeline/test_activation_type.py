"""The codes of activations follow the processor that the network runs on, not this machine's."""

from __future__ import annotations

import platform
from contextlib import nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import pytest

from edgeprune.bench import BenchSettings
from edgeprune.export import Quantize
from edgeprune.pipeline.config import CompressConfig
from edgeprune.pipeline.export_and_measure import reach


@dataclass(frozen=True)
class Board:
    """A device of the user's own, with a processor of a kind."""

    machine: str
    name: ClassVar[str] = "board"
    measures: ClassVar[str] = "latency"

    def start(self, request):
        assert "model" not in request
        ready = SimpleNamespace(environment={"machine": self.machine})
        return nullcontext(SimpleNamespace(ready=ready))


@pytest.mark.parametrize(
    ("machine", "expected"),
    [("aarch64", "s8"), ("arm64", "s8"), ("armv7l", "s8"), ("x86_64", "u8"), ("AMD64", "u8")],
)
def test_auto_is_what_the_devices_processor_is_fast_with(machine: str, expected: str) -> None:
    config = CompressConfig(precision="int8", bench=BenchSettings(device=Board(machine)))
    assert reach(config).quantize.activations == expected


def test_what_the_user_says_goes() -> None:
    asked = Quantize(activations="u8")
    board = BenchSettings(device=Board("aarch64"))
    config = CompressConfig(precision="int8", bench=board, quantize=asked)
    assert reach(config) == config


@pytest.mark.parametrize(("machine", "expected"), [("arm64", "s8"), ("x86_64", "u8")])
def test_on_this_machine_auto_is_this_machines(
    monkeypatch: pytest.MonkeyPatch, machine: str, expected: str
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert reach(CompressConfig(precision="int8")).quantize.activations == expected
    assert Quantize().activation_type == expected


def test_nobody_is_asked_where_nothing_is_quantized() -> None:
    config = CompressConfig(bench=BenchSettings(device=Board("none of our business")))
    assert reach(config) == config
