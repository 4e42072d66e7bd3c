"""What each of several processes synthesizes in ``test_inversion.py``; not a test itself.

Run by ``torchrun`` with the file to write to and the batch size of each process; also
imported, so that one process does the same.
"""

import sys
from pathlib import Path

import torch
from synthesized import original

from edgeprune.images.synthesis.inversion import Inversion
from edgeprune.images.synthesis.objective import Objective
from edgeprune.training import join


def synthesize(batch):
    """Sixteen images in two batches or four."""
    model, _ = original("residual")
    objective = Objective(labels=0.1, swing=True)
    return Inversion(steps=4, batch=batch, smooth=True, objective=objective)(model, 16, 3)


if __name__ == "__main__":
    torch.set_num_threads(1)
    images = synthesize(int(sys.argv[2]))
    torch.save(images, Path(f"{sys.argv[1]}.{join().rank}"))
