"""Weights rounded down or up, whichever keeps the outputs of their layer.

The nearest code is best for a weight, not for its layer: where inputs vary together, so do the
errors of their weights. If H = E[x xᵀ] holds the second moments of what a filter w reads, the
filter rounded to ŵ is wrong by

    E[((ŵ − w)ᵀ x)²] = eᵀ H e,   e = ŵ − w

in the mean square. Every weight may go to the code below it or above it; the error falls by turning
over, again and again, the weight whose turn lowers it most,

    Δ_k = 2 d_k (H e)_k + d_k² H_kk,   d_k the step to the other code,

until no turn lowers it. It never ends above the nearest codes, where it starts.

Sources: the choice between two neighbours, M. Nagel, R. A. Amjad, M. van Baalen, C. Louizos,
T. Blankevoort, "Up or Down? Adaptive Rounding for Post-Training Quantization", arXiv:2004.10568,
equation 13; the search, P. Nair and A. Suggala, "CDQuant: Greedy Coordinate Descent for Accurate
LLM Quantization", arXiv:2406.17542.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

NEGLIGIBLE = 1e-9
"""A turn that lowers a filter's error by less than this share of it is not made."""


def round_for_outputs(weight: Matrix, scale: Matrix, moments: Matrix, largest: int) -> Matrix:
    """Choose codes that keep the outputs of filters which read the same inputs.

    Args:
        weight: The filters, (O, K).
        scale: Step between codes for each filter, (O, 1).
        moments: Second moments of what the filters read, (K, K); symmetric.
        largest: Largest magnitude of a code.

    Returns:
        Whole numbers, (O, K), each next to its weight over ``scale``.
    """
    exact = weight / scale
    codes = np.clip(np.rint(exact), -largest, largest)
    error = codes - exact
    gradient = error @ moments
    other = np.clip(np.where(error > 0, codes - 1, codes + 1), -largest, largest)
    filters, diagonal = np.arange(len(weight)), np.diag(moments)
    while len(filters):
        step = other[filters] - codes[filters]
        change = 2 * step * gradient[filters] + step**2 * diagonal
        best = change.argmin(1)
        total = (error[filters] * gradient[filters]).sum(1)
        gained = change[np.arange(len(filters)), best] < -NEGLIGIBLE * np.abs(total)
        filters, best, step = filters[gained], best[gained], step[gained]
        moved = step[np.arange(len(filters)), best]
        error[filters, best] += moved
        gradient[filters] += moved[:, None] * moments[best]
        codes[filters, best], other[filters, best] = other[filters, best], codes[filters, best]
    return codes
