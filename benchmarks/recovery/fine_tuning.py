"""What labelled data would be worth: the upper bound of the recovery table.

Ordinary fine-tuning with labels and cross entropy: Adam at 1e-3 under a cosine, images flipped and
shifted, BatchNorm in training mode with statistics that follow, for as many steps of as many images
as ``Supervise`` would take. There is no validation, so the last weights are kept.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from torch.nn import functional as F

from edgeprune.artifacts import Note, RecoveryStep
from edgeprune.recovery.method import RecoveryMethod
from edgeprune.recovery.training.supervise import Supervise
from edgeprune.recovery.training.task import varied
from edgeprune.training import fit, generator, indices

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgeprune.artifacts import PrunedModel, TracedModel
    from edgeprune.recovery.context import RecoveryContext


@dataclass(frozen=True)
class FineTuning(RecoveryMethod):
    """Train on labelled images.

    Attributes:
        images: Images as the network takes them, (N, C, H, W).
        classes: Class of each image, (N,).
        steps: Number of updates; 0: as ``Supervise`` chooses.
    """

    images: Tensor
    classes: Tensor
    steps: int = 0

    timed: ClassVar[bool] = True

    def __call__(
        self, traced: TracedModel, pruned: PrunedModel, context: RecoveryContext
    ) -> PrunedModel:
        start, like, seed = context.clock(), Supervise(steps=self.steps), context.seed
        length = like._schedule(traced, pruned, context.seconds)
        plain = {"learning_rate": 1e-3, "warmup": 0.0, "clip": 0.0, "averaging": 0.0}
        schedule = replace(length, validate_every=0, **plain)
        task = _Classes(self, copy.deepcopy(pruned.module), like._batch(pruned.input), seed)
        fitted = fit(task, schedule, seed=seed, progress=context.progress)
        network = task.module.eval().requires_grad_(False)
        seconds, count = context.clock() - start, len(self.images)
        note = Note("text", {"text": f"{fitted.steps} steps on {count} labelled images"})
        step = RecoveryStep("finetune", seconds, count, (note,))
        return replace(pruned, module=network, recovered_by=(*pruned.recovered_by, step))


class _Classes:
    """Cross entropy, as :class:`edgeprune.training.Task`; one process."""

    shared = True

    def __init__(self, data: FineTuning, network: nn.Module, batch: int, seed: int) -> None:
        self.module = network.train().requires_grad_()
        self._data, self._batch, self._seed = data, batch, seed

    def loss(self, module: nn.Module, step: int) -> Tensor:
        data = self._data
        some = indices(len(data.images), self._batch, step, self._seed)
        shown = varied(data.images[some], generator(self._seed, step))
        return F.cross_entropy(module(shown), data.classes[some])

    def error(self) -> None:
        """No validation."""
