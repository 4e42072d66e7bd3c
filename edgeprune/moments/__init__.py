"""Where feature statistics come from when there is no data."""

from edgeprune.moments.feature import Moments
from edgeprune.moments.propagation import Propagation, propagate

__all__ = ["Moments", "Propagation", "propagate"]
