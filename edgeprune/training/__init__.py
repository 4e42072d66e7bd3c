"""One loop for everything that is trained by gradient: images, and pruned networks.

What is trained, and by which loss, is a :class:`Task`; for how long and how fast, a
:class:`Schedule`. :func:`fit` keeps the best weights, resumes an interrupted run from a
:class:`Checkpoint`, and shares the work among the processes that ``torchrun`` started
(:func:`join`). Batches are a function of the step (``batches.py``), so nothing is replayed.
"""

from edgeprune.training.batches import drawing, generator, indices
from edgeprune.training.checkpoint import Checkpoint
from edgeprune.training.loop import fit
from edgeprune.training.processes import Processes, join, leave
from edgeprune.training.record import Fitted, Stopped
from edgeprune.training.schedule import OPTIMISERS, Optimiser, Schedule
from edgeprune.training.synced_norm import normalise_by_batch
from edgeprune.training.task import Task

__all__ = [
    "OPTIMISERS", "Checkpoint", "Fitted", "Optimiser", "Processes", "Schedule", "Stopped", "Task",
    "drawing", "fit", "generator", "indices", "join", "leave",
    "normalise_by_batch",
]  # fmt: skip
