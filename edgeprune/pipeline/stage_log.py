"""Times the stages of a run and records how each went."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

from edgeprune.artifacts import no_progress
from edgeprune.errors import DeviceFailed
from edgeprune.report.document import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgeprune.artifacts import Progress

Stages: TypeAlias = "Callable[[str], Progress]"
"""Told the name of each stage that starts; returns what the stage tells how far it is."""

Status: TypeAlias = Literal["ok", "degraded", "skipped", "failed"]


def no_stages(stage: str) -> Progress:
    """A listener for runs that nobody watches."""
    return no_progress


class RunningStage:
    """A stage under way.

    Attributes:
        progress: Told the share done.
        detail: What it came to, for people.
        status: ``degraded`` where something fell short, ``failed`` where nothing came of it, and
            the run goes on.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.detail = ""
        self.status: Status = "ok"


@contextmanager
def marking_failure(stage: RunningStage) -> Iterator[None]:
    """Mark a stage as failed where only measuring fails: what was made before stays."""
    try:
        yield
    except DeviceFailed as error:
        stage.status, stage.detail = "failed", str(error)


class StageLog:
    """The stages of one run.

    Args:
        start: Told what runs, and how far it is.
    """

    def __init__(self, start: Stages = no_stages) -> None:
        self._start = start
        self.records: list[Stage] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[RunningStage]:
        """Run a stage: time it, and record how it went."""
        began = time.perf_counter()
        running = RunningStage(self._start(name))
        yield running
        seconds = time.perf_counter() - began
        self.records.append(Stage(name, running.status, seconds, running.detail))

    @property
    def failure(self) -> Stage | None:
        """The first stage that failed."""
        return next((stage for stage in self.records if stage.status == "failed"), None)

    def skip(self, name: str) -> None:
        """Record a stage that the settings leave out."""
        self.records.append(Stage(name, "skipped", 0.0, "not asked for"))
