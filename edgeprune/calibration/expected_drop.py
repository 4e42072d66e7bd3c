"""The accuracy that a quantized classifier loses, as far as the float one knows it.

How often the largest score is another says little on images that nothing was trained on: half of
their answers are a toss-up, and which of two classes wins by a hair changes no accuracy. But the
float network says how likely each class is. If it is right, an answer that changes from class a to
class b loses p_a − p_b of being correct, and the mean of that over inputs is the loss of accuracy.

Few inputs are near a tie, so the mean over N of them is coarse. The error that quantization makes
hardly depends on which input it is made on: so every input is given the error of every other, and
the mean is over N² pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

if TYPE_CHECKING:
    from edgeprune.parity import Array

LEAST = 1e-12
"""Probabilities below this count as this, so that their logarithms are finite."""


def has_classes(output: Array) -> bool:
    """Whether an output is one vector for each input: scores of classes, as far as one can see."""
    return output.ndim == 2 and output.shape[1] > 1


def expected_drop(reference: Array, candidate: Array) -> float:
    """The accuracy that the reference expects the candidate to lose; a fraction.

    Args:
        reference: Logits, logarithms of probabilities, or probabilities, (N, C).
        candidate: The same of the other network, for the same inputs, (N, C).
    """
    logits = _logits(reference)
    errors = _logits(candidate) - logits
    chances = softmax(logits, axis=1)
    lost = 0.0
    for scores, chance in zip(logits, chances, strict=True):
        answers = (scores + errors).argmax(axis=1)
        lost += float(np.mean(chance.max() - chance[answers]))
    return lost / len(logits)


def _logits(scores: Array) -> Array:
    """Scores whose softmax are the probabilities of classes, (N, C)."""
    if scores.min() >= 0 and np.allclose(scores.sum(axis=1), 1, atol=1e-3):
        logarithms: Array = np.log(np.maximum(scores, LEAST))
        return logarithms
    return scores
