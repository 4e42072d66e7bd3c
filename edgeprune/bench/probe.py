"""How many channels the runtime's kernels compute at once on a device.

Vectorised kernels work on blocks of channels, and one channel more than a multiple of a block takes
as long as the whole next block: with AVX-512, ONNX Runtime takes the same time for 52 channels as
for 64. Widths that are no multiple of it are cut for nothing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from edgeprune import bench
from edgeprune.artifacts import no_progress
from edgeprune.errors import EdgepruneError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprune.artifacts import Progress
    from edgeprune.bench import BenchSettings

BLOCKS = (32, 16, 8, 4)
"""Sizes of blocks that are tried, the largest first."""

WIDTH = 64
"""Channels of the widest convolution: a multiple of every block."""

SIZE = 14
"""Height and width of the feature maps."""

BLOCK_S, ROUNDS = 0.01, 7
"""Seconds of one run of measurements, and how many there are."""


def channel_block(settings: BenchSettings, progress: Progress | None = None) -> int:
    """Measure which multiple of channels costs nothing beyond the last block.

    Args:
        settings: Where to run; the runtime takes ONNX files.
        progress: Called with the share done.

    Returns:
        The largest of ``BLOCKS`` within which fewer channels save less than half of their share;
        1 where there is none, or where nothing can be measured.
    """
    progress = progress or no_progress
    settings = replace(settings, shapes={})
    with TemporaryDirectory() as folder:

        def cost(width: int) -> float:
            progress((WIDTH - width) / WIDTH, f"a convolution with {width} channels")
            path = Path(folder, f"{width}.onnx")
            path.write_bytes(convolution(width))
            return _cost(path, settings)

        try:
            return block_of(cost)
        except EdgepruneError:
            return 1


def block_of(cost: Callable[[int], float]) -> int:
    """The block whose last half of channels is nearly free.

    A convolution from C to C channels costs C² without blocks; with a block of b channels, C − b/2
    cost what C do.

    Args:
        cost: What a convolution of so many channels costs.
    """
    whole = cost(WIDTH)
    for block in BLOCKS:
        narrower = WIDTH - block // 2
        without = (narrower / WIDTH) ** 2
        if cost(narrower) / whole > (1 + without) / 2:
            return block
    return 1


def convolution(width: int) -> bytes:
    """An ONNX file of two 3 × 3 convolutions with an activation between them."""
    from onnx import TensorProto, helper, numpy_helper

    shape = [1, width, SIZE, SIZE]
    values = np.random.default_rng(0).standard_normal((width, width, 3, 3), dtype=np.float32)
    weights = [numpy_helper.from_array(values / width, name) for name in ("first", "second")]
    nodes = [
        helper.make_node("Conv", ["x", "first"], ["filtered"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["filtered"], ["active"]),
        helper.make_node("Conv", ["active", "second"], ["y"], pads=[1, 1, 1, 1]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    graph = helper.make_graph(nodes, "probe", ends[:1], ends[1:], weights)
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return bytes(model.SerializeToString())


def _cost(path: Path, settings: BenchSettings) -> float:
    """Instructions or seconds of one inference, whichever the device measures."""
    if settings.device.measures == "instructions":
        with bench.start_worker(path, settings, no_progress, warm_up_s=0.0) as process:
            return float(process.instructions(2)[-1])
    with bench.start_worker(path, settings, no_progress) as process:
        runs = max(2, round(BLOCK_S / max(process.ready.run_s, 1e-6)))
        return median(min(process.run(runs)) for _ in range(ROUNDS))
