"""Model inversion: images nearer to the stored statistics, and the same whatever happens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
import two_synthesizers
import zoo
from synthesized import headless, loss_by_hand, original, seen_by
from torch import nn
from torchrun import torchrun
from traced_zoo import Calls, source_of, unchanged

from edgeprune.artifacts import ImageKind, InputSpec, SourceModel
from edgeprune.errors import ModelUnsupported, UsageError
from edgeprune.images.given import Given
from edgeprune.images.procedural import DeadLeaves
from edgeprune.images.synthesis.inversion import Inversion
from edgeprune.images.synthesis.objective import Objective
from edgeprune.natural_images import pixels_of

if TYPE_CHECKING:
    from torch import Tensor

QUICK = Inversion(steps=12, learning_rate=0.03)
BARE = Objective(labels=0.0, variation=0.0, energy=0.0)


def loss_of(model: SourceModel, inputs: tuple[Tensor, ...]) -> float:
    return loss_by_hand(model.module, inputs[0])


@pytest.mark.parametrize("name", ["chain", "residual", "transposed", "two-outputs", "flatten"])
def test_the_statistics_come_nearer_whatever_the_output(name: str) -> None:
    model, _ = original(name)
    with unchanged(model.module):
        images = replace(QUICK, steps=40)(model, 24, 0)
    assert images[0].shape == (24, 3, 16, 16)
    assert images[0].dtype == torch.float32
    assert not images[0].requires_grad
    assert loss_of(model, images) < 0.2 * loss_of(model, DeadLeaves()(model, 24, 0))


@pytest.mark.parametrize(
    "option",
    [{"smooth": True}, {"objective": Objective(swing=True)}, {"clamp": False}, {"batch": 8}],
    ids=["smooth", "swing", "unclamped", "batches"],
)
def test_networks_without_a_head_are_inverted_too(option: dict[str, object]) -> None:
    model, _ = seen_by(headless())
    images = replace(QUICK, steps=40, **option)(model, 24, 0)
    assert images[0].shape == (24, 3, 16, 16)
    assert loss_of(model, images) < 0.3 * loss_of(model, DeadLeaves()(model, 24, 0))


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("shape", [(1, 20, 14), (4, 9, 11)], ids=str)
def test_every_number_of_channels_and_every_size(shape: tuple[int, ...], smooth: bool) -> None:
    model, _ = seen_by(nn.Sequential(zoo.conv_bn(shape[0], 8), zoo.conv_bn(8, 8)), *shape)
    (images,) = replace(QUICK, smooth=smooth)(model, 5, 0)
    assert images.shape == (5, *shape)
    assert images.isfinite().all()


def test_pixels_stay_between_black_and_white() -> None:
    model, _ = original("chain")
    (images,) = replace(QUICK, learning_rate=0.3)(model, 8, 0)
    pixels = pixels_of(images, model.input)
    assert pixels.min() >= -1e-5
    assert pixels.max() <= 1 + 1e-5
    (wild,) = replace(QUICK, learning_rate=0.3, clamp=False)(model, 8, 0)
    assert pixels_of(wild, model.input).max() > 1.1


def test_the_range_of_the_input_changes_nothing() -> None:
    """A network for [0, 255] gives the same images as the same network for [0, 1]."""
    model, _ = original("chain")
    first = model.module[0][0]
    rescaled = nn.Sequential(Calls(lambda _, x: x / 255), *zoo.build("chain"))
    rescaled.load_state_dict(
        {f"{int(k[0]) + 1}{k[1:]}": v for k, v in model.module.state_dict().items()}
    )
    assert first.in_channels == 3
    unit = SourceModel(model.module, InputSpec(((1, 3, 16, 16),), (0,) * 3, (1,) * 3), "n", "")
    wide = SourceModel(
        rescaled.eval(), InputSpec(((1, 3, 16, 16),), (0,) * 3, (1 / 255,) * 3), "n", ""
    )
    images, wider = (replace(QUICK, steps=3)(each, 8, 0)[0] for each in (unit, wide))
    torch.testing.assert_close(wider / 255, images, atol=2e-3, rtol=0)


def test_the_seed_alone_says_which_images() -> None:
    model, _ = original("residual")
    before = torch.random.get_rng_state()
    first, same, other = (QUICK(model, 6, seed)[0] for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first, same)
    assert not torch.isclose(first, other).flatten(1).all(1).any()


def test_labels_make_their_classes_likelier() -> None:
    model, _ = original("chain")
    labels = torch.arange(20) % 5

    def confidence(weight: float) -> float:
        objective = replace(BARE, labels=weight)
        (images,) = replace(QUICK, steps=30, objective=objective)(model, 20, 0)
        with torch.no_grad():
            probabilities = model.module(images).softmax(1)
        return float(probabilities[torch.arange(20), labels].mean())

    assert confidence(30.0) > 1.5 * confidence(0.0)


def test_a_competitor_is_shown_what_it_gets_wrong() -> None:
    model, _ = original("chain")
    competitor, _ = seen_by(zoo.build("chain", seed=1))

    def apart(weight: float) -> float:
        objective = replace(BARE, competitor=competitor.module, competition=weight)
        with unchanged(competitor.module):
            (images,) = replace(QUICK, steps=30, objective=objective)(model, 16, 0)
        with torch.no_grad():
            p, q = (each.module(images).softmax(1) for each in (model, competitor))
        return float((p - q).abs().sum(1).mean())

    assert apart(3.0) > 1.5 * apart(0.0)


def test_a_smoother_objective_makes_smoother_images() -> None:
    model, _ = original("chain")

    def rough(variation: float) -> float:
        objective = replace(BARE, variation=variation)
        (images,) = replace(QUICK, objective=objective)(model, 8, 0)
        return float(images.diff(dim=3).abs().mean())

    assert rough(1.0) < 0.8 * rough(0.0)


class Sizes(nn.Module):
    """Records the heights of its inputs."""

    def __init__(self, body: nn.Module, least: int) -> None:
        super().__init__()
        self.body, self.least = body, least

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] < self.least:
            raise RuntimeError("too small")
        HEIGHTS.append(x.shape[2])
        return self.body(x)


HEIGHTS: list[int] = []


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize(("least", "coarse", "sizes"), [
    (1, 16, [8] * 8 + [16] * 4), (1, 17, [16] * 12), (1, 0, [16] * 12), (9, 16, [16] * 12),
])  # fmt: skip
def test_large_images_begin_at_half_their_size_where_the_network_accepts_it(
    least: int, coarse: int, sizes: list[int], smooth: bool
) -> None:
    model, _ = seen_by(Sizes(zoo.conv_bn(3, 6), least))
    HEIGHTS.clear()
    (images,) = replace(QUICK, coarse=coarse, smooth=smooth)(model, 4, 0)
    trained = [size for size in HEIGHTS if size in (8, 16)]
    assert images.shape == (4, 3, 16, 16)
    # before: the trace, and a trial at half the size where there is one; after: remembering
    assert trained[-13:-1] == sizes


@pytest.mark.parametrize("killed", [3, 15, 20, 30], ids=lambda at: f"after-{at}-steps")
def test_a_killed_run_resumes_to_the_same_images(killed: int, tmp_path: Path) -> None:
    model, _ = original("residual")
    source = replace(QUICK, batch=4, coarse=16, workspace=tmp_path)
    wanted = replace(source, workspace=None)(model, 10, 1)
    steps: list[float] = []

    def kill(share: float, _: str) -> None:
        steps.append(share)
        if len(steps) == killed:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        source(model, 10, 1, kill)
    found = source(model, 10, 1, lambda share, _: steps.append(share))
    assert torch.equal(found[0], wanted[0])
    assert len(steps) == 36
    again: list[float] = []
    assert torch.equal(source(model, 10, 1, lambda share, _: again.append(share))[0], wanted[0])
    assert again == []
    assert not list(tmp_path.rglob("*.pt*"))


def test_other_images_share_a_workspace_without_harm(tmp_path: Path) -> None:
    model, _ = original("chain")
    for source in (QUICK, replace(QUICK, learning_rate=0.1), replace(QUICK, start=DeadLeaves(0.1))):
        for seed in (0, 1):
            cached = replace(source, workspace=tmp_path)(model, 4, seed)[0]
            assert torch.equal(cached, source(model, 4, seed)[0])
    assert len(list(tmp_path.iterdir())) == 6


def test_progress_rises_to_the_end() -> None:
    model, _ = original("chain")
    shares: list[float] = []
    replace(QUICK, batch=3, coarse=16)(model, 9, 0, lambda share, _: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_two_processes_make_what_one_does_with_twice_the_batch(tmp_path: Path) -> None:
    script = Path(two_synthesizers.__file__)
    ran = torchrun(script, tmp_path / "images", 4, folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    (alone,) = two_synthesizers.synthesize(8)
    found = [torch.load(tmp_path / f"images.{rank}")[0] for rank in (0, 1)]
    assert torch.equal(*found)
    # the processes add in another order, and Adam makes a whole step of every sign
    close = torch.isclose(found[0], alone, atol=1e-2).float().mean()
    assert close > 0.99


def test_what_is_no_image_stays_as_it_started() -> None:
    network = Calls(
        lambda net, x, v: net.body(x).mean((2, 3)) + net.other(v),
        body=zoo.conv_bn(3, 6), other=nn.Linear(4, 6),
    )  # fmt: skip
    model = source_of(network, (1, 3, 12, 12), (1, 4))
    procedural, synthesized = DeadLeaves()(model, 7, 2), QUICK(model, 7, 2)
    assert torch.equal(procedural[1], synthesized[1])
    assert (procedural[0] - synthesized[0]).abs().mean() > 1e-2


def test_a_start_with_fewer_images_makes_fewer() -> None:
    model, images = original("chain")
    (found,) = replace(QUICK, start=Given((images[:5],)), batch=3)(model, 9, 0)
    assert len(found) == 5


def test_networks_without_statistics_or_images_are_refused() -> None:
    with pytest.raises(ModelUnsupported, match="dead-leaves"):
        QUICK(source_of(zoo.build("no-norm")), 4, 0)
    flat = source_of(nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4)), (1, 6))
    with pytest.raises(UsageError, match="takes 1x6: there are no images"):
        QUICK(flat, 4, 0)


def test_reports_can_say_where_images_are_from() -> None:
    assert QUICK.kind is ImageKind.SYNTHESIZED
    assert QUICK.origin == "(synthesized by model inversion, 12 steps)"
