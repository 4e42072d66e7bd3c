"""Statistics of feature maps without data: mean and covariance of channels, layer by layer."""

from edgeprune.moments.feature import Moments
from edgeprune.moments.propagation import Propagation, propagate

__all__ = ["Moments", "Propagation", "propagate"]
