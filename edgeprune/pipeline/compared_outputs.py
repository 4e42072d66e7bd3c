"""What the compressed network still says of the original's outputs, on images nobody has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune import distributed
from edgeprune.calibration.outputs_kept import outputs_kept
from edgeprune.images.unseen import unseen
from edgeprune.report import sentences

if TYPE_CHECKING:
    from torch import Tensor

    from edgeprune.artifacts import OutputsKept, PrunedModel, SourceModel
    from edgeprune.pipeline.stage_log import StageLog

FEWEST, MOST, PIXELS = 16, 128, 1 << 22
"""Bounds of the number of images, and how many pixels they have together between them."""


def compared_outputs(
    source: SourceModel, recovered: PrunedModel, seed: int, log: StageLog
) -> OutputsKept | None:
    """How much of the original's outputs the compressed network keeps.

    Args:
        source: The original.
        recovered: The compressed network.
        seed: Seed of the run.
        log: Records the stage.

    Returns:
        None where it cannot be told, and in all but the first of several processes.
    """
    if not distributed.first():
        return None
    with log.stage("compare outputs") as stage:
        images = unseen_images(source, seed)
        found = outputs_kept(source.module, recovered.module, images)
        stage.detail = sentences.outputs(found) if found else "no output tells images apart"
        if found and sentences.broken(found):
            stage.status = "degraded"
    return found


def unseen_images(source: SourceModel, seed: int) -> tuple[Tensor, ...]:
    """The images that networks are compared on: procedural, and none that recovery used."""
    return unseen(source, source.input.images_of(PIXELS, FEWEST, MOST), seed)
