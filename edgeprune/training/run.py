"""A run under way: its steps, its judgements, and whether it has come to its end."""

from __future__ import annotations

import math
import time
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

HOPELESS = 10
"""After so many steps in a row without a finite loss the run is over."""


class TrainingRun:
    """A run under way; several processes go through it in step, with the same decisions.

    Args:
        task: What is trained.
        schedule: For how long, and how fast.
        seed: Of what takes no generator.
        processes: Those that train.

    Attributes:
        record: What was seen so far.
        whole: Whether the state is that of a step done, not of one being done.
    """

    def __init__(self, task: Task, schedule: Schedule, seed: int, processes: Processes) -> None:
        self.record = Record()
        self.whole = True
        self._task, self._schedule, self._seed = task, schedule, seed
        self._processes = processes
        self._weights = Weights(task.module, schedule.averaging)
        self._optimiser = schedule.make(list(self._weights.parameters.values()))
        self._loss = loss_of_step(task, processes)
        self._slowest = 0.0
        self._start = time.perf_counter()

    def is_over(self) -> bool:
        """Judge, if it is time to, and say whether the run has come to its end."""
        record, schedule = self.record, self._schedule
        if schedule.due(record.step):
            self._judge()
        self._look_at_the_clock()
        stopped = record.stopped or self._end()
        if stopped:
            self._judge()
        elif 0 < schedule.patience <= record.worse_in_a_row():
            stopped = "patience"
        record.stopped = stopped
        return bool(stopped)

    def advance(self) -> None:
        """Do one step."""
        begun, record = time.perf_counter(), self.record
        factor = self._schedule.factor(self.share())
        for group in self._optimiser.param_groups:
            group["lr"] = group["initial_lr"] * factor
        buffers = self._weights.buffers()
        try:
            loss, finite = self._backward()
        except BaseException:
            self._weights.put(buffers)
            raise
        self.whole = False
        if finite:
            self._optimiser.step()
            self._weights.follow(record.step)
        else:
            self._weights.put(buffers)
        record.saw(loss, finite=finite)
        self.whole = True
        # The first steps are slow, so what they took is forgotten little by little.
        took = self._processes.agreed(time.perf_counter() - begun)
        self._slowest = max(took, 0.9 * self._slowest)

    def share(self) -> float:
        """How much is done, 0 to 1."""
        record = self.record
        before, after = record.begun, record.judging
        return self._schedule.share(record.step, record.seconds, before=before, after=after)

    def described(self) -> str:
        """Where the run is, in a few words."""
        return f"step {self.record.step}/{self._schedule.steps}, loss {self.record.loss:.3g}"

    def settle(self) -> None:
        """Leave the weights that are kept in the module, and no gradients."""
        record = self.record
        if record.best:
            self._weights.put(record.best)
        else:
            self._weights.put(self._weights.average)
            record.best_step = record.step
        self._optimiser.zero_grad()

    def name(self, identity: str) -> str:
        """What tells this run from any other."""
        shapes = [(name, tuple(held.shape)) for name, held in self._weights.state().items()]
        count = self._processes.count
        return digest(identity, self._schedule.described(), self._seed, count, shapes)

    def contents(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "record": self.record.contents(),
            "weights": self._weights.state(),
            "average": self._weights.average,
            "optimiser": self._optimiser.state_dict(),
        }

    def take(self, contents: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.record = Record(**contents["record"])
        self._weights.put(contents["weights"])
        self._weights.put_average(contents["average"])
        self._optimiser.load_state_dict(contents["optimiser"])
        self._start = time.perf_counter() - self.record.seconds

    def _backward(self) -> tuple[float, bool]:
        """Gradients of this step, clipped; the loss, and whether it and they are finite."""
        fabric, schedule = self._processes.fabric, self._schedule
        self._optimiser.zero_grad()
        with fabric.autocast(), drawing(self._seed, self.record.step, self._processes):
            loss = self._loss(self.record.step)
        fabric.backward(loss)
        parameters = list(self._weights.parameters.values())
        norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
        seen = torch.stack([loss.detach().float(), norm.to(loss.device).float()])
        mean_loss, mean_norm = self._processes.mean_of(seen).tolist()
        finite = math.isfinite(mean_loss) and math.isfinite(mean_norm)
        if finite and schedule.clip:
            clip_grads_with_norm_(parameters, schedule.clip, norm)
        return mean_loss, finite

    def _judge(self) -> None:
        """Have the averaged weights judged, unless these were, and keep them if they are best."""
        record = self.record
        if record.judged == record.step:
            return
        begun = time.perf_counter()
        with self._weights.averaged(), torch.no_grad():
            own = self._task.error()
            if own is not None:
                error = self._mean(own)
                better = self._weights.state() if record.is_better(error) else None
                self.whole = False
                record.judge(error, better)
        record.judged = record.step
        self.whole = True
        took = self._processes.agreed(time.perf_counter() - begun)
        record.judging = max(record.judging, took)
        self._look_at_the_clock()
        if record.step == 0:
            record.begun = record.seconds

    def _mean(self, error: float) -> float:
        """The mean over the processes; infinite where it is not a number."""
        own = torch.tensor(error, dtype=torch.float64, device=self._processes.device)
        mean = self._processes.agreed(float(self._processes.mean_of(own)))
        return math.inf if math.isnan(mean) else mean

    def _look_at_the_clock(self) -> None:
        self.record.seconds = self._processes.agreed(time.perf_counter() - self._start)

    def _end(self) -> Stopped:
        """Why the run is over, leaving aside what the judgements say."""
        record, schedule = self.record, self._schedule
        if record.step >= schedule.steps:
            return "steps"
        if record.in_a_row >= HOPELESS:
            return "diverged"
        if record.seconds + self._slowest > schedule.seconds - record.judging:
            return "seconds"
        return ""
