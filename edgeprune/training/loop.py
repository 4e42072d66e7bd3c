"""The loop: gradient steps on a task, of which the best weights are kept.

A run can be cut short at any step and resumed without a trace: a step depends on nothing but the
weights, the optimiser's state and its own number.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from edgeprune.training.processes import join
from edgeprune.training.run import TrainingRun

if TYPE_CHECKING:
    from edgeprune.artifacts import Progress
    from edgeprune.training.checkpoint import Checkpoint
    from edgeprune.training.processes import Processes
    from edgeprune.training.record import Fitted
    from edgeprune.training.schedule import Schedule
    from edgeprune.training.task import Task


def fit(
    task: Task,
    schedule: Schedule,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
    processes: Processes | None = None,
) -> Fitted:
    """Train; the module then holds the best weights that were judged, the initial ones included.

    With nothing to judge by, they are the last ones, averaged if the schedule says so. On CPUs
    the same seed gives the same weights, bit by bit, unless the schedule has a time limit.

    A step whose loss or gradient is not finite is skipped; ten in a row end the run.

    Args:
        task: What to train.
        schedule: For how long, and how fast.
        seed: Of what takes no generator, such as dropout; tasks have their own.
        checkpoint: Where to go on from, if it holds this very run, and where to keep the state,
            also on Ctrl-C and once the run is over. The caller removes it.
        progress: Told on rank 0 after each step.
        processes: None: those of :func:`edgeprune.training.join`.

    Raises:
        ValueError: If no parameter of the module requires gradients.
    """
    processes = processes or join()
    run = TrainingRun(task, schedule, seed, processes)
    files = _Files(checkpoint, run, processes, shared=task.shared) if checkpoint else None
    try:
        while not run.is_over():
            run.advance()
            if progress is not None and processes.rank == 0:
                progress(run.share(), run.described())
            if files is not None:
                files.save_if_due()
    except KeyboardInterrupt:
        if files is not None:
            files.save_interrupted()
        raise
    if files is not None:
        files.save()
    run.settle()
    return run.record.fitted()


class _Files:
    """The checkpoint of a run; one file, or one a process where each trains a module of its own.

    The run goes on from them at once, if all processes find the same step of it.
    """

    def __init__(
        self, checkpoint: Checkpoint, run: TrainingRun, processes: Processes, *, shared: bool
    ) -> None:
        self._apart = processes.count > 1 and not shared
        self._checkpoint = checkpoint.of_rank(processes.rank) if self._apart else checkpoint
        self._run, self._processes = run, processes
        self._name = run.name(checkpoint.identity)
        self._resume()
        self._saved = time.perf_counter()

    def save_if_due(self) -> None:
        """Save every so many seconds, in all processes after the same step."""
        waited = self._processes.agreed(time.perf_counter() - self._saved)
        if waited >= self._checkpoint.every_seconds:
            self.save()
            self._saved = time.perf_counter()

    def save_interrupted(self) -> None:
        """Save unless the step is half done.

        Files apart are left as they are: processes are not interrupted after the same step.
        """
        if self._run.whole and not self._apart:
            self.save()

    def save(self) -> None:
        """Write the file, if it is this process's."""
        if self._apart or self._processes.rank == 0:
            self._checkpoint.save(self._name, self._run.contents())

    def _resume(self) -> None:
        contents = self._checkpoint.load(self._name)
        step = float(contents["record"]["step"]) if contents is not None else -1.0
        agrees = torch.tensor(float(step == self._processes.agreed(step)))
        everywhere = self._processes.mean_of(agrees.to(self._processes.device))
        if contents is not None and everywhere == 1:
            self._run.take(contents)
