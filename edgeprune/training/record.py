"""Progress and outcome of a training run, as plain data."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

Stopped: TypeAlias = Literal["", "steps", "seconds", "patience", "diverged"]
"""Why a run ended: all steps done, no time left, no better error for long, no finite loss for long;
"" while it goes on."""

HISTORY_POINTS = 200
"""Largest number of losses in a history."""

LOSS_SMOOTHING = 0.9
"""Weight of the previous value in the running mean of the loss that is shown."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Outcome of a run.

    Attributes:
        steps: Steps done, skipped ones included.
        seconds: Duration in seconds, the time before an interruption included.
        history: (step, loss) of evenly spaced steps, at most 200; dimensionless.
        errors: (steps done, error) of each validation.
        best_step: Number of steps after which the weights were those that the module now holds.
        stopped: Why the run ended.
        detail: Warning about skipped steps, in a few words; empty if there are none.
    """

    steps: int
    seconds: float
    history: tuple[tuple[int, float], ...]
    errors: tuple[tuple[int, float], ...]
    best_step: int
    stopped: Stopped
    detail: str


@dataclass(slots=True)
class Record:
    """Progress of a run; all of it is in a checkpoint.

    Attributes:
        step: Steps done.
        seconds: Seconds since the run began, at the last reading of the clock.
        history: (step, loss), every ``stride``-th step.
        stride: Steps between two points of the history; doubled whenever it is too long.
        loss: Running mean of the loss, for messages; not a number before the first step.
        errors: (steps done, error) of each validation; an error that is not a number is infinite.
        validated: Steps done at the last validation, whether it gave an error or not.
        validation_seconds: Seconds of the slowest validation.
        seconds_before: Seconds from the beginning of the run to the first step.
        best_step: Steps done when the error was smallest.
        best: Parameters and buffers at ``best_step``.
        skipped: Steps without an update, since the loss was not finite.
        skipped_in_a_row: Skipped steps since the last update.
        stopped: Why the run ended.
    """

    step: int = 0
    seconds: float = 0.0
    history: list[tuple[int, float]] = field(default_factory=list)
    stride: int = 1
    loss: float = math.nan
    errors: list[tuple[int, float]] = field(default_factory=list)
    validated: int = -1
    validation_seconds: float = 0.0
    seconds_before: float = 0.0
    best_step: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    skipped: int = 0
    skipped_in_a_row: int = 0
    stopped: Stopped = ""

    def add_step(self, loss: float, *, finite: bool) -> None:
        """Note the loss of a step that is done; one that is not finite was no update."""
        if self.step % self.stride == 0:
            self.history.append((self.step, loss))
        if len(self.history) > HISTORY_POINTS:
            self.stride *= 2
            self.history = [point for point in self.history if point[0] % self.stride == 0]
        if finite:
            before = loss if math.isnan(self.loss) else self.loss
            self.loss = LOSS_SMOOTHING * before + (1 - LOSS_SMOOTHING) * loss
        self.skipped += not finite
        self.skipped_in_a_row = 0 if finite else self.skipped_in_a_row + 1
        self.step += 1

    def add_validation(self, error: float, better: dict[str, Tensor] | None) -> None:
        """Note the error of the weights after the last step; and them, if they are the best."""
        if better is not None:
            self.best_step, self.best = self.step, better
        self.errors.append((self.step, error))

    def is_better(self, error: float) -> bool:
        """Whether an error is smaller than that of every validation so far."""
        return not self.errors or error < min(other for _, other in self.errors)

    def validations_since_best(self) -> int:
        """Number of validations since the best."""
        return sum(step > self.best_step for step, _ in self.errors)

    def contents(self) -> dict[str, Any]:
        """The fields by name, for a checkpoint."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def fitted(self) -> Fitted:
        """The outcome that is returned to the caller of the run."""
        steps = "1 step" if self.skipped == 1 else f"{self.skipped} steps"
        detail = f"{steps} skipped: loss or gradient was not finite" if self.skipped else ""
        return Fitted(
            steps=self.step,
            seconds=self.seconds,
            history=tuple(self.history),
            errors=tuple(self.errors),
            best_step=self.best_step,
            stopped=self.stopped,
            detail=detail,
        )
