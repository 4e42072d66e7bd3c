"""A training run in progress: its steps, its validations, and whether it is over."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from edgeprune.training.batches import drawing
from edgeprune.training.checkpoint import digest
from edgeprune.training.record import Record
from edgeprune.training.task import loss_of_step
from edgeprune.training.weights import Weights

if TYPE_CHECKING:
    from edgeprune.training.processes import Processes
    from edgeprune.training.record import Stopped
    from edgeprune.training.schedule import Schedule
    from edgeprune.training.task import Task

NONFINITE_LIMIT = 10
"""Number of steps in a row without a finite loss after which the run is over."""


class TrainingRun:
    """A run in progress; several processes take its steps together, with the same decisions.

    Args:
        task: Module and loss.
        schedule: Duration, learning rate and clock.
        seed: Random seed of layers without a generator.
        processes: Processes that train together.

    Attributes:
        record: Progress so far.
        consistent: Whether the state is that after a whole step, not within one.
    """

    def __init__(self, task: Task, schedule: Schedule, seed: int, processes: Processes) -> None:
        self.record = Record()
        self.consistent = True
        self._task, self._schedule, self._seed = task, schedule, seed
        self._processes = processes
        self._weights = Weights(task.module, schedule.averaging)
        self._optimiser = schedule.make(list(self._weights.parameters.values()))
        self._loss = loss_of_step(task, processes)
        self._slowest = 0.0
        self._start = schedule.clock()

    def is_over(self) -> bool:
        """Validate, if it is due, and tell whether the run is over."""
        record, schedule = self.record, self._schedule
        if schedule.due(record.step):
            self._validate()
        self._update_seconds()
        stopped = record.stopped or self._end()
        if stopped:
            self._validate()
        elif 0 < schedule.patience <= record.validations_since_best():
            stopped = "patience"
        record.stopped = stopped
        return bool(stopped)

    def advance(self) -> None:
        """Do one step."""
        begun, record = self._schedule.clock(), self.record
        factor = self._schedule.factor(self.share())
        for group in self._optimiser.param_groups:
            group["lr"] = group["initial_lr"] * factor
        buffers = self._weights.buffers()
        try:
            loss, finite = self._backward()
        except BaseException:
            self._weights.put(buffers)
            raise
        self.consistent = False
        if finite:
            self._optimiser.step()
            self._weights.update_average(record.step)
        else:
            self._weights.put(buffers)
        record.add_step(loss, finite=finite)
        self.consistent = True
        # The first steps are slow, so their duration is forgotten little by little.
        self._slowest = max(self._seconds_since(begun), 0.9 * self._slowest)

    def share(self) -> float:
        """Share of the run that is done, 0 to 1."""
        record = self.record
        before, after = record.seconds_before, record.validation_seconds
        return self._schedule.share(record.step, record.seconds, before=before, after=after)

    def message(self) -> str:
        """Step and loss, in a few words."""
        return f"step {self.record.step}/{self._schedule.steps}, loss {self.record.loss:.3g}"

    def finalize(self) -> None:
        """Leave the best weights in the module, and no gradients."""
        record = self.record
        if record.best:
            self._weights.put(record.best)
        else:
            self._weights.put(self._weights.average)
            record.best_step = record.step
        self._optimiser.zero_grad()

    def name(self, identity: str) -> str:
        """Name that tells this run from any other, in hexadecimal."""
        shapes = [(name, tuple(value.shape)) for name, value in self._weights.state().items()]
        # With the record's fields: a file of another version of this code is of another run.
        kept = (self._processes.count, shapes, list(self.record.contents()))
        return digest(identity, self._schedule.described(), self._seed, *kept)

    def contents(self) -> dict[str, Any]:
        """The whole state, for a checkpoint."""
        return {
            "record": self.record.contents(),
            "weights": self._weights.state(),
            "average": self._weights.average,
            "optimiser": self._optimiser.state_dict(),
        }

    def resume(self, contents: dict[str, Any]) -> None:
        """Take the state of a checkpoint."""
        self.record = Record(**contents["record"])
        self._weights.put(contents["weights"])
        self._weights.put_average(contents["average"])
        self._optimiser.load_state_dict(contents["optimiser"])
        self._start = self._schedule.clock() - self.record.seconds

    def _backward(self) -> tuple[float, bool]:
        """Gradients of this step, clipped; the loss, and whether it and they are finite."""
        fabric, schedule = self._processes.fabric, self._schedule
        self._optimiser.zero_grad()
        with fabric.autocast(), drawing(self._seed, self.record.step, self._processes):
            loss = self._loss(self.record.step)
        fabric.backward(loss)
        parameters = list(self._weights.parameters.values())
        norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
        both = torch.stack([loss.detach().float(), norm.to(loss.device).float()])
        mean_loss, mean_norm = self._processes.mean_of(both).tolist()
        finite = math.isfinite(mean_loss) and math.isfinite(mean_norm)
        if finite and schedule.clip:
            clip_grads_with_norm_(parameters, schedule.clip, norm)
        return mean_loss, finite

    def _validate(self) -> None:
        """Validate the averaged weights, unless that is done, and keep them if they are best."""
        record = self.record
        if record.validated == record.step:
            return
        begun = self._schedule.clock()
        with self._weights.averaged(), torch.no_grad():
            own = self._task.error()
            if own is not None:
                error = self._mean(own)
                better = self._weights.state() if record.is_better(error) else None
                self.consistent = False
                record.add_validation(error, better)
        record.validated = record.step
        self.consistent = True
        record.validation_seconds = max(record.validation_seconds, self._seconds_since(begun))
        self._update_seconds()
        if record.step == 0:
            record.seconds_before = record.seconds

    def _mean(self, error: float) -> float:
        """The mean over the processes; infinite where it is not a number."""
        own = torch.tensor(error, dtype=torch.float64, device=self._processes.device)
        mean = self._processes.agreed(float(self._processes.mean_of(own)))
        return math.inf if math.isnan(mean) else mean

    def _seconds_since(self, begun: float) -> float:
        """Seconds since a reading of the clock, the same in all processes."""
        return self._processes.agreed(self._schedule.clock() - begun)

    def _update_seconds(self) -> None:
        """Read the clock into the record."""
        self.record.seconds = self._seconds_since(self._start)

    def _end(self) -> Stopped:
        """Why the run is over, patience left aside."""
        record, schedule = self.record, self._schedule
        if record.step >= schedule.steps:
            return "steps"
        if record.skipped_in_a_row >= NONFINITE_LIMIT:
            return "diverged"
        if record.seconds + self._slowest > schedule.seconds - record.validation_seconds:
            return "seconds"
        return ""
