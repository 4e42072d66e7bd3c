"""What a run has seen so far, and what it says of itself in the end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

Stopped: TypeAlias = Literal["", "steps", "seconds", "patience", "diverged"]
"""Why a run ended: all steps done, no time left, no better for long, no finite loss for long;
"" while it goes on."""

POINTS = 200
"""A history holds no more than so many losses."""

FORGETTING = 0.9
"""Of the loss that is shown, so much is kept from one step to the next."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """How a run went.

    Attributes:
        steps: Steps done, skipped ones included.
        seconds: Taken, those before an interruption included.
        history: (step, loss) of evenly spaced steps, at most 200; dimensionless.
        errors: (steps done, error) of each judgement.
        best_step: After so many steps the weights were those that the module now holds.
        stopped: Why it ended.
        detail: What went wrong on the way, in a few words; empty if nothing.
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
    """How a run goes; all of it is in a checkpoint.

    Attributes:
        step: Steps done.
        seconds: Taken when it was last looked at.
        history: (step, loss), every ``stride``-th step.
        stride: Doubled whenever the history is too long.
        loss: Smoothed, to be shown; not a number before the first step.
        errors: (steps done, error) of each judgement; one that is not a number is infinite.
        judged: Steps done at the last judgement, whether there was anything to judge by or not.
        judging: Seconds of the slowest judgement.
        begun: Seconds taken before the first step.
        best_step: Steps done when the error was smallest.
        best: Parameters and buffers of then.
        skipped: Steps without an update, since the loss was not finite.
        in_a_row: How many of them there were without another between.
        stopped: Why it ended.
    """

    step: int = 0
    seconds: float = 0.0
    history: list[tuple[int, float]] = field(default_factory=list)
    stride: int = 1
    loss: float = math.nan
    errors: list[tuple[int, float]] = field(default_factory=list)
    judged: int = -1
    judging: float = 0.0
    begun: float = 0.0
    best_step: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    skipped: int = 0
    in_a_row: int = 0
    stopped: Stopped = ""

    def saw(self, loss: float, *, finite: bool) -> None:
        """Note the loss of a step that is done; one that is not finite was no update."""
        if self.step % self.stride == 0:
            self.history.append((self.step, loss))
        if len(self.history) > POINTS:
            self.stride *= 2
            self.history = [point for point in self.history if point[0] % self.stride == 0]
        if finite:
            before = loss if math.isnan(self.loss) else self.loss
            self.loss = FORGETTING * before + (1 - FORGETTING) * loss
        self.skipped += not finite
        self.in_a_row = 0 if finite else self.in_a_row + 1
        self.step += 1

    def judge(self, error: float, better: dict[str, Tensor] | None) -> None:
        """Note the error of the weights after the last step; and them, if they are the best."""
        if better is not None:
            self.best_step, self.best = self.step, better
        self.errors.append((self.step, error))

    def is_better(self, error: float) -> bool:
        """Whether no judgement so far was as good."""
        return not self.errors or error < min(other for _, other in self.errors)

    def worse_in_a_row(self) -> int:
        """Judgements since the best."""
        return sum(step > self.best_step for step, _ in self.errors)

    def contents(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def fitted(self) -> Fitted:
        """What is told of the run."""
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
