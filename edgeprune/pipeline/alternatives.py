"""What one could do instead: the untouched network on smaller images, or in 8 bits.

Both need no tool that removes channels, so a compressed network is worth having only where it is
better at the same measured latency. They are exported and measured like the compressed network, and
judged by the same figures.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from edgeprune.artifacts import FLOAT, Alternative
from edgeprune.artifacts.exported import ORIGINAL
from edgeprune.calibration.outputs_kept import outputs_kept
from edgeprune.errors import EdgepruneError, failing_as
from edgeprune.evaluation import accuracies, agreements, right_answers
from edgeprune.export.onnx_network import OnnxNetwork
from edgeprune.images.shrunk import Shrunk
from edgeprune.pipeline.budget_trials import brief, measured_ratio
from edgeprune.pipeline.compared_outputs import unseen_images
from edgeprune.pipeline.export_and_measure import export_original
from edgeprune.pipeline.stage_log import StageLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn

    from edgeprune.artifacts import (
        CountComparison,
        ExportedModel,
        LatencyComparison,
        Progress,
        RatioInterval,
        SourceModel,
    )
    from edgeprune.evaluation import Images
    from edgeprune.pipeline.config import CompressConfig

COARSE, FINE, LARGE = 32, 4, 96
"""Sizes are multiples of the stride that networks usually have; small images of a smaller one."""

SLACK = 1.05
"""An alternative may take so many times the compressed network's latency."""


def alternatives(
    source: SourceModel,
    original: ExportedModel | None,
    compressed: LatencyComparison | CountComparison | None,
    images: Images,
    config: CompressConfig,
    log: StageLog,
) -> tuple[Alternative, ...]:
    """Measure the alternatives to a compressed network.

    Args:
        source: The original network.
        original: Its ONNX file.
        compressed: The compressed network measured against it.
        images: The user's images, to judge on.
        config: Every setting.
        log: Records the stage.

    Returns:
        Those that there are; none where nothing was measured.
    """
    if original is None or compressed is None or not config.alternatives:
        log.skip("alternatives")
        return ()
    with log.stage("alternatives") as stage, TemporaryDirectory() as folder:
        field = _Field(source, original, images, config, stage.progress, Path(folder))
        found = tuple(field.alternatives(compressed.ratio.value))
        stage.detail = "; ".join(field.missing)
    return found


def sizes(full: tuple[int, int], share: float) -> Iterator[tuple[int, int]]:
    """Sizes of smaller images, the most like a share of the latency first, then smaller ones.

    Args:
        full: Height and width of the network's input.
        share: Share of the latency to come to; latency grows with the number of pixels.
    """
    step = COARSE if min(full) >= LARGE else FINE
    height = round(full[0] * min(share, 1.0) ** 0.5 / step) * step
    while height >= step:
        width = max(step, round(full[1] * height / full[0] / step) * step)
        if height < full[0]:
            yield height, width
        height -= step


class _Field:
    """The alternatives of one run; ``missing`` says why one could not be had."""

    def __init__(
        self,
        source: SourceModel,
        original: ExportedModel,
        images: Images,
        config: CompressConfig,
        progress: Progress,
        folder: Path,
    ) -> None:
        self.source, self.original, self.images = source, original, images
        self.config, self.progress, self.folder = config, progress, folder
        self.settings = brief(config)
        self.missing: list[str] = []

    def alternatives(self, latency: float) -> Iterator[Alternative]:
        """A smaller image, then int8 alone, where each is possible."""
        ways: list[Callable[[], Alternative | None]] = [partial(self._smaller_image, latency)]
        if self.config.precision == "fp32" and self.config.runs_int8:
            ways.append(self._int8)
        for way in ways:
            if (found := self._had(way)) is not None:
                yield found

    def _had(self, way: Callable[[], Alternative | None]) -> Alternative | None:
        """One of them; None, and the reason in ``missing``, where the network does not run so."""
        try:
            with failing_as(_NotPossible):
                return way()
        except (EdgepruneError, _NotPossible) as error:
            self.missing.append(str(error))
            return None

    def _smaller_image(self, latency: float) -> Alternative | None:
        """The network on images with which it is as fast as the compressed one."""
        (*_, height, width), dtype = self.source.input.typed_shapes[0]
        shapes = self.source.input.shapes
        if len(shapes) != 1 or len(shapes[0]) != 4 or dtype != FLOAT:
            return None
        best = None
        for size in list(sizes((height, width), latency))[:2]:
            shape = (*shapes[0][:2], *size)
            smaller = replace(
                self.source, input=replace(self.source.input, shapes=(shape,)), record=None
            )
            self.progress(0.2, f"the original on {size[0]}x{size[1]} pixels")
            made = export_original(smaller, self.config, self.folder, StageLog())
            assert made is not None
            measured = self._measured(made.path)
            best = size, measured, made.bytes / self.original.bytes
            if measured is None or measured.value <= latency * SLACK:
                break
        if best is None:
            return None
        size, measured, ratio = best
        alternative = Alternative("smaller image", f"{size[0]}x{size[1]} pixels", measured, ratio)
        return self._judged(alternative, Shrunk(self.source.module, size))

    def _int8(self) -> Alternative:
        """The network quantized without training data."""
        assert self.config.target is not None
        self.progress(0.6, "the original in 8 bits")
        path = self.folder / f"int8.{ORIGINAL}"
        made = self.config.quantizer(self.source)(
            self.source, self.original, self.config.target, path, None, self.config.seed
        )
        kept = len(made.kept_float)
        detail = f"{kept} nodes stay float" if kept else "every layer"
        alternative = Alternative(
            "int8 alone", detail, self._measured(path), made.bytes / self.original.bytes
        )
        network, inputs = OnnxNetwork(path), unseen_images(self.source, self.config.seed)
        found = outputs_kept(self.source.module, network, inputs, twins=False)
        return self._judged(replace(alternative, outputs=found.share if found else None), network)

    def _measured(self, path: Path) -> RatioInterval | None:
        if self.settings is None:
            return None
        return measured_ratio(self.original.path, path, self.settings, self.progress)

    def _judged(self, alternative: Alternative, network: nn.Module) -> Alternative:
        """The alternative with what it is worth on the user's images, where there are any."""
        if self.images.labelled is not None:
            (right,) = accuracies(right_answers([network], self.images.labelled))
            alternative = replace(alternative, accuracy=right)
        if self.images.unlabelled is not None:
            (same,) = agreements([self.source.module, network], self.images.unlabelled)
            alternative = replace(alternative, agreement=same)
        return alternative


class _NotPossible(Exception):
    """The network does not run so."""
