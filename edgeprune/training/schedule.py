"""How long to train, how fast, and when to validate.

The learning rate follows the share of the work that is done, by steps or by time, whichever is
further: linear warm-up, then half a cosine to 0 (Loshchilov and Hutter, SGDR, arXiv:1608.03983),

    rate(s) = peak · min(1, (s + 1/steps)/w) · ½(1 + cos(π · max(0, s − w)/(1 − w)))

with the share done s and the share of warm-up w. So a run under a time limit cools down, too,
whatever number of steps fits.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import torch

from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn
    from torch.optim import Optimizer

Optimiser: TypeAlias = "Callable[[list[nn.Parameter], float], Optimizer]"
"""Makes an optimiser of parameters and the peak of the learning rate."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Duration and learning rate of a run.

    Only runs without ``seconds`` give the same weights, bit by bit, each time.

    Attributes:
        steps: Largest number of updates. More: better, slower.
        learning_rate: Peak of the learning rate. Larger: faster, until it diverges.
        warmup: Share of the run during which the rate rises, 0 to less than 1.
        clip: Largest norm of the gradient over all parameters of a process; 0: no limit.
        averaging: Decay of the running average of the parameters that is validated and kept, 0 to
            less than 1; 0: the parameters themselves. Larger: smoother, later.
        validate_every: Steps from one validation to the next; 0: only before the first and after
            the last. Smaller: finds a better step, slower.
        patience: Validations in a row without a new best after which the run stops; 0: it never
            does.
        seconds: Time limit of the run in seconds, validation included.
        optimiser: One of ``OPTIMISERS``, or a function that makes an optimiser of parameters and a
            peak rate; groups may have peaks of their own. A function is recognised by its name
            when a run resumes, any other callable by its ``repr``.
        clock: Function that returns the time in seconds, of which differences count; all
            durations of a run come from it.
    """

    steps: int
    learning_rate: float
    warmup: float = 0.0
    clip: float = 0.0
    averaging: float = 0.0
    validate_every: int = 0
    patience: int = 0
    seconds: float = math.inf
    optimiser: str | Optimiser = "adam"
    clock: Callable[[], float] = field(default=time.perf_counter, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse settings that make no sense.

        Raises:
            UsageError: If a setting is out of range; names it and its range.
        """
        allowed = {
            "steps": (self.steps >= 1, "at least 1"),
            "learning_rate": (0 < self.learning_rate < math.inf, "above 0"),
            "warmup": (0 <= self.warmup < 1, "from 0 to less than 1"),
            "clip": (self.clip >= 0, "0 or more"),
            "averaging": (0 <= self.averaging < 1, "from 0 to less than 1"),
            "validate_every": (self.validate_every >= 0, "0 or more"),
            "patience": (self.patience >= 0, "0 or more"),
            "seconds": (self.seconds > 0, "above 0"),
        }
        for name, (is_allowed, expected) in allowed.items():
            if not is_allowed:
                raise UsageError(f"{name} {getattr(self, name)}: it must be {expected}")
        if isinstance(self.optimiser, str) and self.optimiser not in OPTIMISERS:
            raise UsageError(f"optimiser {self.optimiser}: choose {' or '.join(OPTIMISERS)}")

    def share(self, step: int, seconds: float, *, before: float = 0.0, after: float = 0.0) -> float:
        """Share of the run that is done before a step, 0 to 1.

        Args:
            step: Number of the step, from 0.
            seconds: Seconds since the run began.
            before: Seconds from the beginning of the run to the first step.
            after: Seconds that are needed after the last step.
        """
        stepping = self.seconds - before - after
        by_time = (seconds - before) / stepping if stepping > 0 else 1.0
        return min(1.0, max(step / self.steps, by_time))

    def factor(self, share: float) -> float:
        """The learning rate as a share of its peak, 0 to 1, at a share of the run that is done."""
        # By the step that is taken, not those that are: the first would otherwise do nothing.
        rise = min(1.0, (share + 1 / self.steps) / self.warmup) if self.warmup else 1.0
        cooled = max(0.0, share - self.warmup) / (1 - self.warmup)
        return rise * (1 + math.cos(math.pi * cooled)) / 2

    def due(self, step: int) -> bool:
        """Whether to validate after so many steps."""
        return step == 0 or bool(self.validate_every and step % self.validate_every == 0)

    def make(self, parameters: list[nn.Parameter]) -> Optimizer:
        """Make the optimiser of a run; ``initial_lr`` of each group is its peak rate."""
        chosen = self.optimiser
        optimiser = (OPTIMISERS[chosen] if isinstance(chosen, str) else chosen)(
            parameters, self.learning_rate
        )
        for group in optimiser.param_groups:
            group.setdefault("initial_lr", group["lr"])
        return optimiser

    def described(self) -> str:
        """Text that identifies the schedule in every process, time limit and clock left out."""
        chosen = self.optimiser
        name = chosen if isinstance(chosen, str) else getattr(chosen, "__qualname__", repr(chosen))
        rest = replace(self, optimiser="adam", seconds=math.inf)
        return f"{getattr(chosen, '__module__', '')} {rest} {name}"


def adam(parameters: list[nn.Parameter], rate: float) -> Optimizer:
    """Adam (Kingma and Ba, arXiv:1412.6980): a step size for each weight."""
    return torch.optim.Adam(parameters, lr=rate)


def sgd(parameters: list[nn.Parameter], rate: float) -> Optimizer:
    """Gradient descent with Nesterov's momentum."""
    return torch.optim.SGD(parameters, lr=rate, momentum=0.9, nesterov=True)


OPTIMISERS: dict[str, Optimiser] = {"adam": adam, "sgd": sgd}
