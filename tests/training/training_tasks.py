"""Small tasks for the loop, and what tells one result from another."""

import torch
from torch import nn
from torch.nn import functional as F

from edgeprune.training import Schedule, indices

SCHEDULE = Schedule(steps=12, learning_rate=0.02, warmup=0.25, clip=0.5, averaging=0.6)
draw = torch.Generator().manual_seed(5)
IMAGES = torch.randn(20, 3, 6, 6, generator=draw)
WANTED = torch.randn(20, 2, generator=draw)


def network():
    """A convolution with BatchNorm and dropout, a head, and a layer that no loss reads."""
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(64, 2), nn.Linear(2, 2))


class Regression:
    """Fit images to numbers, with BatchNorm that follows its batches."""

    shared = True

    def __init__(self):
        self.module = network()

    def loss(self, module, step):
        batch = indices(len(IMAGES), 8, step, seed=1)
        return F.mse_loss(module.train()[:6](IMAGES[batch]), WANTED[batch])

    def error(self):
        return float(F.mse_loss(self.module.eval()[:6](IMAGES), WANTED))


class Scripted:
    """A weight that grows by 1 a step and a buffer that counts; errors are given."""

    shared = True

    def __init__(self, errors=(), losses=()):
        self.module = nn.Module()
        self.module.weight = nn.Parameter(torch.zeros(1))
        self.module.register_buffer("calls", torch.zeros(1))
        self.errors, self.losses = dict(enumerate(errors)), dict(enumerate(losses))

    def loss(self, module, step):
        module.calls += 1
        return -module.weight.sum() + self.losses.get(step, 0.0)

    def error(self):
        return self.errors.get(int(self.module.weight), 9.0) if self.errors else None

    def held(self):
        return float(self.module.weight.detach()), float(self.module.calls)


def sgd(parameters, rate):
    return torch.optim.SGD(parameters, lr=rate)


class Constant(Schedule):
    """A rate that stays as it is."""

    def factor(self, share):
        return 1.0


STEADY = Constant(steps=8, learning_rate=1.0, validate_every=1, optimiser=sgd)


def weights(task):
    return {name: value.clone() for name, value in task.module.state_dict().items()}


def identical(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())
