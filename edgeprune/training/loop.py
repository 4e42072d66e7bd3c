"""The training loop: gradient steps on a task, of which the best weights are kept.

A run can be interrupted at any step and resumed with the same result: a step depends on nothing
but the weights, the optimiser's state and its own number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edgeprune.training.processes import join
from edgeprune.training.run import TrainingRun

if TYPE_CHECKING:
    from collections.abc import Callable

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
    """Train; the module then holds the best validated weights, the initial ones included.

    Without validation, they are the last ones, averaged if the schedule says so. On CPUs the same
    seed gives the same weights, bit by bit, unless the schedule has a time limit.

    A step whose loss or gradient is not finite is skipped; ten in a row end the run.

    Args:
        task: Module and loss.
        schedule: Duration, learning rate and clock.
        seed: Random seed of layers without a generator, such as dropout; tasks have their own.
        checkpoint: File to resume from, if it is of this run, and to write the state to, also on
            Ctrl-C and once the run is over. The caller removes it.
        progress: Called on rank 0 after each step, with the share done and a text.
        processes: Processes that train together; None: :func:`edgeprune.training.join`.

    Returns:
        Steps, seconds, losses and validation errors of the run.

    Raises:
        ValueError: If no parameter of the module requires gradients.
    """
    processes = processes or join()
    run = TrainingRun(task, schedule, seed, processes)
    files = None
    if checkpoint is not None:
        files = _Files(checkpoint, run, processes, schedule.clock, shared=task.shared)
    report = progress if processes.rank == 0 else None
    _train(run, files, report)
    run.finalize()
    return run.record.fitted()


def _train(run: TrainingRun, files: _Files | None, progress: Progress | None) -> None:
    """Take steps until the run is over; write the files on the way and at the end."""
    try:
        while not run.is_over():
            run.advance()
            if progress is not None:
                progress(run.share(), run.message())
            if files is not None:
                files.save_if_due()
    except KeyboardInterrupt:
        if files is not None:
            files.save_interrupted()
        raise
    if files is not None:
        files.save()


class _Files:
    """The checkpoint of a run; one file, or one a process where each trains a module of its own.

    The run is resumed from them at once, if all processes find the same step of it.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        run: TrainingRun,
        processes: Processes,
        clock: Callable[[], float],
        *,
        shared: bool,
    ) -> None:
        self._separate = processes.count > 1 and not shared
        self._checkpoint = checkpoint.of_rank(processes.rank) if self._separate else checkpoint
        self._run, self._processes, self._clock = run, processes, clock
        self._name = run.name(checkpoint.identity)
        self._resume()
        self._saved_at = clock()

    def save_if_due(self) -> None:
        """Save if ``every_seconds`` have passed, in all processes after the same step."""
        waited = self._processes.agreed(self._clock() - self._saved_at)
        if waited >= self._checkpoint.every_seconds:
            self.save()
            self._saved_at = self._clock()

    def save_interrupted(self) -> None:
        """Save unless the step is half done.

        Separate files are left as they are: processes are not interrupted after the same step.
        """
        if self._run.consistent and not self._separate:
            self.save()

    def save(self) -> None:
        """Write the file, if it belongs to this process."""
        if self._separate or self._processes.rank == 0:
            self._checkpoint.save(self._name, self._run.contents())

    def _resume(self) -> None:
        contents = self._checkpoint.load(self._name)
        step = float(contents["record"]["step"]) if contents is not None else -1.0
        agrees = torch.tensor(float(step == self._processes.agreed(step)))
        everywhere = self._processes.mean_of(agrees.to(self._processes.device))
        if contents is not None and everywhere == 1:
            self._run.resume(contents)
