"""Terms of the loss of images for networks that tell classes.

Each image has a label, and cross entropy asks for it. With a competitor, images are wanted that the
two networks disagree on (adaptive DeepInversion: Yin et al., arXiv:1912.08795): images on which the
competitor agrees with the original teach it nothing more. The disagreement is the Jensen–Shannon
divergence,

    JS(p, q) = ½ KL(p ‖ ½(p + q)) + ½ KL(q ‖ ½(p + q)),

as a share of its largest value, log 2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def logits_of(output: object) -> Tensor | None:
    """The output of a network if it is one score a class, (N, K) with K ≥ 2."""
    is_logits = isinstance(output, Tensor) and output.dim() == 2 and output.shape[1] >= 2
    return output if is_logits else None  # type: ignore[return-value]


def cyclic_labels(images: Tensor, classes: int) -> Tensor:
    """Every class in turn, so that all are as frequent.

    Args:
        images: Indices of the images in the whole set, (N,).
        classes: Number of classes, K.

    Returns:
        Class of each image, (N,), int64.
    """
    return images % classes


def disagreement(logits: Tensor, others: Tensor) -> Tensor:
    """The share above, 0 where two networks say the same, 1 where they exclude each other.

    Args:
        logits: Scores of the classes, (N, K).
        others: Scores of the other network, (N, K).

    Returns:
        Mean over the images, (), dimensionless.
    """
    p, q = (F.log_softmax(each.float(), dim=1) for each in (logits, others))
    middle = torch.logaddexp(p, q) - math.log(2)
    divergences = [
        F.kl_div(middle, each, log_target=True, reduction="batchmean") for each in (p, q)
    ]
    return (divergences[0] + divergences[1]) / (2 * math.log(2))
