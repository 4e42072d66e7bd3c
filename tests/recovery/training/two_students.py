"""What each of two processes does in ``test_two_students.py``; not a test itself.

Run by ``torchrun`` with a folder to write to; also imported, so that one process does the same.
"""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from students import halved, tiny

from edgeprune.recovery.context import RecoveryContext
from edgeprune.recovery.training.supervise import Supervise
from edgeprune.training import join, leave

IMAGES = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(1))
EACH = 8


def supervised(batch, workspace=None):
    """Loss on the way, weights, and outputs in the end."""
    model = tiny()
    method = Supervise(images=48, batch=batch, steps=20)
    done = method(model, halved(model), RecoveryContext(workspace=workspace))
    return {
        "curve": done.recovered_by[-1].curve,
        "weights": done.module.state_dict(),
        "outputs": done.module(IMAGES).detach(),
    }


def main(folder):
    torch.set_num_threads(1)
    processes = join()
    done = supervised(EACH, Path(folder) / "state")
    torch.save(done, Path(folder) / f"rank{processes.rank}.pt")
    processes.barrier()
    leave()


if __name__ == "__main__":
    main(sys.argv[1])
