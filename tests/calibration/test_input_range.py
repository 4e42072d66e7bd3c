"""What the range of an input is, and when it is not known."""

import pytest
import torch
import zoo
from torch import nn

from edgeprune.artifacts import InputSpec, SourceModel
from edgeprune.calibration.input_range import (
    credible,
    first_spread,
    into_ranges,
    known_ranges,
    pixel_range,
)
from edgeprune.errors import UsageError
from edgeprune.images.procedural import DeadLeaves

SPEC = InputSpec((zoo.INPUT_SHAPE,))


def test_pixels_range_from_the_darkest_black_to_the_brightest_white() -> None:
    low, high = pixel_range(InputSpec(((1, 3, 8, 8),)), (1, 3, 8, 8))
    assert low == pytest.approx(min(-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225))
    assert high == pytest.approx(max(0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225))


@pytest.mark.parametrize("shape", [(1, 40), (1, 1, 16000), (1, 8, 32, 32), (1, 3, 8, 8, 8)])
def test_what_is_no_image_has_no_known_range(shape: tuple[int, ...]) -> None:
    assert known_ranges(1.0, InputSpec((shape,))) == (None,)


def trained_on(images: torch.Tensor) -> nn.Module:
    """A network whose first BatchNorm has seen these."""
    return zoo.calibrated(zoo.build("chain"), images)


@pytest.mark.parametrize(
    ("factor", "known"), [(1.0, True), (1.3, True), (10.0, False), (0.1, False)]
)
def test_the_first_norm_tells_whether_inputs_are_normalised_so(factor: float, known: bool) -> None:
    network = trained_on(DeadLeaves()(SourceModel(nn.Identity(), SPEC, "", ""), 32, 0)[0] * factor)
    inputs = DeadLeaves()(SourceModel(network, SPEC, "", ""), 32, 1)
    spread = first_spread(network, inputs)
    assert spread == pytest.approx(1 / factor, rel=0.3)
    assert credible(spread) is known
    assert (known_ranges(spread, SPEC)[0] is not None) is known


def test_a_network_without_norms_is_believed() -> None:
    network = zoo.build("no-norm")
    spread = first_spread(network, DeadLeaves()(SourceModel(network, SPEC, "", ""), 4, 0))
    assert spread is None
    assert known_ranges(spread, SPEC)[0] is not None


def test_procedural_inputs_fill_the_range_that_the_user_gives() -> None:
    spec = InputSpec(((1, 1, 8, 8), (1, 20)))
    inputs = DeadLeaves()(SourceModel(nn.Identity(), spec, "", ""), 64, 0)
    image, vector = into_ranges(inputs, spec, ((-123.0, 25.0), (0.0, 1.0)))
    assert -123 <= float(image.min()) < -60
    assert -20 < float(image.max()) <= 25.001
    assert float(vector.min()) >= 0
    assert float(vector.max()) <= 1
    with pytest.raises(UsageError, match="--input-range"):
        into_ranges(inputs, spec, ((0.0, 1.0),))
