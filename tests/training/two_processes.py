"""What each of several processes does in ``test_training_processes.py``; not a test itself.

Started by ``torchrun`` with the file to write to; also imported, so that one process does the same.
"""

import copy
import sys
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from edgeprune.training import Checkpoint, Schedule, fit, indices, join, normalise_by_batch

IMAGES, EACH, STEPS = 24, 4, 6
NORMS = ("1", "4")


def network():
    """Two convolutions with BatchNorm, a head without, and one more that no loss reads."""
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3, stride=2)]
    return nn.Sequential(*body, nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(36, 5))


class Features:
    """Match random features behind the last BatchNorm, and not the output: the head gets none."""

    shared = True

    def __init__(self, processes, size):
        self.module, self.processes, self.size = network(), processes, size
        draw = torch.Generator().manual_seed(1)
        self.images = torch.randn(IMAGES, 3, 9, 9, generator=draw) * 2 + 30
        self.wanted = torch.randn(IMAGES, 4, 3, 3, generator=draw)
        self.undo = normalise_by_batch(self.module, NORMS, processes)

    def loss(self, module, step):
        taken = self.processes.share(indices(IMAGES, self.size, step, seed=3))
        seen = []
        hook = module[4].register_forward_hook(lambda *args: seen.append(args[-1]))
        module(self.images[taken])
        hook.remove()
        return F.mse_loss(seen[0], self.wanted[taken])

    def error(self):
        # Without autograd and by the whole of the images, the same in all processes.
        return float(F.mse_loss(self.module[:5](self.images), self.wanted))


class Own:
    """Each process pulls a tensor of its own to a number of its own."""

    shared = False

    def __init__(self, rank):
        self.module = nn.ParameterList([torch.zeros(3)])
        self.target = 1.0 + rank

    def loss(self, module, step):
        return (module[0] - self.target).square().sum()

    def error(self):
        return float(self.loss(self.module, 0))


SCHEDULE = Schedule(
    steps=STEPS, learning_rate=0.05, warmup=0.3, clip=0.5, averaging=0.9, validate_every=2,
    optimiser="sgd",
)  # fmt: skip


def features(processes, size, checkpoint=None):
    """Weights and record after a run on the features."""
    task = Features(processes, size)
    fitted = fit(task, SCHEDULE, seed=0, checkpoint=checkpoint, processes=processes)
    task.undo.close()
    return {"weights": task.module.state_dict(), "losses": [x for _, x in fitted.history],
            "errors": [x for _, x in fitted.errors], "best": fitted.best_step}  # fmt: skip


def resumed(processes, folder):
    """As ``features``, of a run that was cut short in step 3."""
    checkpoint = Checkpoint(Path(folder) / "shared.pt", every_seconds=0)
    task = Features(processes, EACH * processes.count)
    loss = task.loss
    task.loss = lambda module, step: loss(module, step if step < 3 else stop())
    with suppress(KeyboardInterrupt):
        fit(task, SCHEDULE, seed=0, checkpoint=checkpoint, processes=processes)
    processes.barrier()
    return features(processes, EACH * processes.count, checkpoint)


def stop():
    raise KeyboardInterrupt


def interrupted(processes, checkpoint, *, lose=False):
    """How a run of tensors apart, cut short in step 5, goes on; perhaps with rank 1's file lost."""
    schedule = Schedule(steps=9, learning_rate=0.1, validate_every=3)
    whole, cut, again = (Own(processes.rank) for _ in range(3))
    fitted = fit(whole, schedule, seed=0, processes=processes)
    loss = cut.loss
    cut.loss = lambda module, step: loss(module, step if step < 5 else stop())
    with suppress(KeyboardInterrupt):
        fit(cut, schedule, seed=0, checkpoint=checkpoint, processes=processes)
    if lose and processes.rank == 1:
        checkpoint.of_rank(1).path.unlink()
    steps, more = [], again.loss
    again.loss = lambda module, step: (steps.append(step), more(module, step))[1]
    fit(again, schedule, seed=0, checkpoint=checkpoint, processes=processes)
    value = float(whole.module[0].detach()[0])
    same = torch.equal(whole.module[0], again.module[0])
    return {"same": same, "from": steps[0], "value": value, "errors": fitted.errors}


class Line:
    """Fit a line; at step 2 the last process sees something that is not a number."""

    shared = True

    def __init__(self, processes):
        self.module, self.processes = nn.Linear(2, 1), processes
        nn.init.ones_(self.module.weight)

    def loss(self, module, step):
        spoilt = step == 2 and self.processes.rank == self.processes.count - 1
        return module(torch.full((4, 2), float("nan") if spoilt else 1.0 + step)).square().mean()

    def error(self):
        return None


def line(processes):
    """A run in which every parameter takes part and one process has to skip a step."""
    task = Line(processes)
    fitted = fit(task, Schedule(steps=4, learning_rate=0.1), seed=0, processes=processes)
    return {"weight": task.module.weight.detach(), "fitted": fitted.detail}


def gradient(processes):
    """The gradient of what the processes make of x, before averaging."""
    x = torch.tensor([1.0, 2.0]) * (processes.rank + 1)
    x.requires_grad_()
    mean = processes.mean_of(x)
    ((processes.rank + 1) * mean.square()).sum().backward()
    return {"x": x.detach(), "mean": mean.detach(), "gradient": x.grad}


def main(folder):
    processes, again = join(), join()
    done = {
        "rank": processes.rank, "count": again.count, "device": str(processes.device),
        "slice": processes.share(torch.arange(6)), "agreed": processes.agreed(0.1 + processes.rank),
        "copied": copy.deepcopy(processes) is processes, "gradient": gradient(processes),
        "features": features(processes, EACH * processes.count),
        "resumed": resumed(processes, folder), "line": line(processes),
        "interrupted": interrupted(processes, Checkpoint(Path(folder) / "kept.pt", "", 0)),
        "lost": interrupted(processes, Checkpoint(Path(folder) / "lost.pt", "", 0), lose=True),
        "unsaved": interrupted(processes, Checkpoint(Path(folder) / "unsaved.pt")),
    }  # fmt: skip
    processes.barrier()
    torch.save(done, Path(folder) / f"rank{processes.rank}.pt")


if __name__ == "__main__":
    main(sys.argv[1])
