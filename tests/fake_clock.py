"""A clock for tests of time limits: time passes only by its readings and where a test says so."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from edgeprune.pipeline import config
from edgeprune.recovery.context import RecoveryContext

if TYPE_CHECKING:
    import pytest


@dataclass
class FakeClock:
    """Seconds that each reading adds ``tick`` to."""

    now: float = 0.0
    tick: float = 0.0

    def __call__(self) -> float:
        self.now += self.tick
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def replace_clocks(monkeypatch: pytest.MonkeyPatch, tick: float) -> FakeClock:
    """Let all of edgeprune read a fake clock, trainings of recovery included."""
    clock = FakeClock(tick=tick)
    monkeypatch.setattr("time.perf_counter", clock)
    monkeypatch.setattr(config, "RecoveryContext", partial(RecoveryContext, clock=clock))
    return clock
