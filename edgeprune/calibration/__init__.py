"""Where feature statistics come from when there is no data."""

from edgeprune.calibration.moments import Propagation, propagate
from edgeprune.calibration.signals import Moments

__all__ = ["Moments", "Propagation", "propagate"]
