"""torchvision's detectors as networks of tensors: backbone and heads, without what is no network.

A detector takes a list of images of any size, resizes them, decodes boxes and suppresses those that
overlap: Python on data, of which no file can be made. What costs time is the backbone and the
heads, so these are run on one image tensor, and give what the heads say. Of the family of Faster
R-CNN the head is that of the regions; the second stage works on regions that are found on the way
and stays outside, and the maps that it reads are outputs, whose channels all stay. So the pruned
parts fit back into the detector:

    detector.backbone, detector.head = module.backbone, module.head      # R-CNNs: detector.rpn.head
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from edgeprune.artifacts import InputSpec
from edgeprune.errors import UsageError
from edgeprune.loading.checkpoint_kind import Adapted

if TYPE_CHECKING:
    from edgeprune.loading.checkpoint_kind import Shapes

HOME = "torchvision.models.detection."
KINDS = ("GeneralizedRCNN", "RetinaNet", "FCOS", "SSD")
"""Classes that all detectors of the library are made of."""


class TorchvisionDetector:
    """Runs a detector's backbone and heads on a tensor."""

    def recognises(self, network: nn.Module) -> bool:
        """Whether the class is one of the library's detectors, or made from one."""
        return any(
            base.__module__.startswith(HOME) and base.__name__ in KINDS
            for base in type(network).__mro__
        )

    def adapted(
        self,
        network: nn.Module,
        checkpoint: Mapping[object, object],
        shapes: Shapes,
        *,
        raw_head: bool,
    ) -> Adapted:
        """The backbone and the heads, with the input size and the normalisation of the detector.

        Raises:
            UsageError: A raw head is asked for; there is no other.
        """
        if raw_head:
            raise UsageError("--raw-head: a torchvision detector's heads are always exported raw")
        transform: Any = network.transform
        height, width = _size(transform)
        mean, std = tuple(transform.image_mean), tuple(transform.image_std)
        shape = (1, len(mean), height, width)
        return Adapted(DetectorHeads(network), InputSpec((shape,), mean, std))


class DetectorHeads(nn.Module):
    """What a detector's heads say of an image that is resized and normalised.

    Args:
        detector: The detector, whose parts these are.
    """

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        whole: Any = detector
        self.two_stages = hasattr(whole, "rpn")
        self.backbone = whole.backbone
        self.head = whole.rpn.head if self.two_stages else whole.head
        self.training = False

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Logits and box regressions of every place, (1, places, …); of R-CNNs by pyramid level."""
        found = self.backbone(image)
        features = found if isinstance(found, Mapping) else {"0": found}
        levels = list(features.values())
        if not self.two_stages:
            outputs: dict[str, Tensor] = self.head(levels)
            return outputs
        named = zip(features, levels, *self.head(levels), strict=True)
        return {
            f"{what}_{level}": tensor
            for level, *three in named
            for what, tensor in zip(("features", "objectness", "boxes"), three, strict=True)
        }


def _size(transform: Any) -> tuple[int, int]:
    """Height and width that the detector resizes images to, or its shorter side for both."""
    if fixed := getattr(transform, "fixed_size", None):
        width, height = fixed
        return int(height), int(width)
    side = int(max(transform.min_size))
    return side, side
