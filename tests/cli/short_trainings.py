"""The command line, with trainings short enough to wait for: ``python short_trainings.py …``."""

from __future__ import annotations

import sys

from edgeprune import cli
from edgeprune.recovery.training import feature_training

STEPS = 300

if __name__ == "__main__":
    feature_training.STEPS = (STEPS, STEPS)
    sys.exit(cli.main(sys.argv[1:]))
