"""--synthesis, --budget-time and --images FILE: what recovery fits to, and for how long."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import yaml
import zoo
from fake_clock import replace_clocks
from invocation import CHAIN_SHAPE, edgeprune
from safetensors.torch import save_file

import edgeprune as ep
from edgeprune.artifacts import ImageKind
from edgeprune.cli.options import seconds
from edgeprune.errors import UsageError
from edgeprune.images import image_sets
from edgeprune.report.files import decode

if TYPE_CHECKING:
    from edgeprune.report.document import ReportDocument


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def synthesized(pruned_chain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chain recovered on images that are synthesized from it."""
    run = tmp_path_factory.mktemp("synthesized") / "run"
    flags = ("--recover", "reconstruct", "--synthesis", "inversion", "--budget-time", "2s")
    ran = edgeprune("recover", pruned_chain, *flags, "-o", run)
    assert ran.code == 0, ran.err
    assert "images.png shows images synthesized from the original" in ran.err
    return run


def recovered(pruned: Path, *flags: object) -> ReportDocument:
    ran = edgeprune("recover", pruned, *flags, "-o", "run")
    assert ran.code == 0, ran.err
    return decode(Path("run"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("90s", 90), ("10m", 600), ("1.5h", 5400), ("2", 2), (".5m", 30), (" 3s ", 3), (None, None)],
)
def test_times_are_read_as_people_write_them(text: str | None, wanted: float | None) -> None:
    assert seconds("budget-time", text) == wanted


@pytest.mark.parametrize(
    "text", ["", "0", "0.0h", "-1s", "ten", "1e3", "10 m", "5d", "nan", "inf", "9" * 400]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--budget-time .*90s, 10m or 1\.5h"):
        seconds("budget-time", text)


@pytest.mark.parametrize("methods", ["supervise", "supervise,distill"])
def test_training_keeps_to_its_time(
    methods: str, pruned_chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_clocks(monkeypatch, tick=0.03)
    report = recovered(pruned_chain, "--recover", methods, "--budget-time", "8s")
    (stage,) = (stage for stage in report.stages if stage.name == "recover")
    assert 6 < stage.seconds < 1.1 * 8
    count = len(methods.split(","))
    assert all(step.seconds < 1.1 * 8 / count for step in report.recovery)
    assert all(step.curve[-1][0] > 0 for step in report.recovery)
    settings = yaml.safe_load(Path("run/recipe.yaml").read_text())
    assert settings["budget-time"] == "8s"
    assert "resume" not in settings


def test_synthesized_images_are_kept_and_validated(synthesized: Path) -> None:
    inputs, about = image_sets.read(synthesized / "images.safetensors")
    report = decode(synthesized)
    (step,) = report.recovery
    assert "synthesized by model inversion" in step.detail
    assert report.model is not None
    assert (about.kind, about.model_sha256) == (ImageKind.SYNTHESIZED, report.model.sha256)
    assert inputs[0].shape[1:] == (3, 16, 16)
    assert step.images == len(inputs[0])
    assert (synthesized / "images.png").read_bytes().startswith(b"\x89PNG")
    assert step.quality is not None
    assert step.quality.imagined
    assert 0 < step.quality.images <= 256
    assert step.quality.statistics_shift is not None
    text = (synthesized / "report.md").read_text()
    assert "synthesized by model inversion" in text
    (stage,) = (stage for stage in report.stages if stage.name == "recover")
    assert (stage.status == "degraded") == (not step.quality.passed)
    settings = yaml.safe_load((synthesized / "recipe.yaml").read_text())
    assert settings["synthesis"] == "inversion"


def test_a_set_that_was_kept_is_fitted_to_again(synthesized: Path, pruned_chain: Path) -> None:
    images = synthesized / "images.safetensors"
    report = recovered(pruned_chain, "--recover", "reconstruct", "--images", images)
    before = decode(synthesized)
    for name in ("images", "detail", "quality"):
        assert getattr(report.recovery[0], name) == getattr(before.recovery[0], name)
    assert report.agreement is None
    assert not Path("run/images.safetensors").exists()
    before_weights, weights = (ep.load(each).state_dict() for each in (synthesized, "run"))
    for name, wanted in before_weights.items():
        assert torch.equal(weights[name], wanted), name


def test_every_set_has_a_name_of_its_own(pruned_chain: Path) -> None:
    flags = ("--synthesis", "generator", "--budget-time", "6s")
    recovered(pruned_chain, "--recover", "supervise,supervise,distill", *flags)
    assert {path.name for path in Path("run").glob("images*")} == {
        *("images.safetensors", "images-supervise-2.safetensors", "images-distill.safetensors"),
        *("images.png", "images-supervise-2.png", "images-distill.png"),
    }


def test_procedural_images_are_validated_but_not_kept(pruned_chain: Path) -> None:
    report = recovered(pruned_chain, "--recover", "reconstruct", "--synthesis", "pink-noise")
    (step,) = report.recovery
    assert "pink noise" in step.detail
    assert step.quality is not None
    assert not step.quality.imagined
    (stage,) = (stage for stage in report.stages if stage.name == "recover")
    assert stage.status == "ok"
    assert not list(Path("run").glob("images*"))


def images_of(folder: Path, *shape: int, **changes: Any) -> Path:
    """A set of images of a shape."""
    known = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)} | changes
    about = image_sets.ImageSet("imagined", ImageKind.PROCEDURAL, 0, "", **known)
    image_sets.save([torch.randn(10, *shape)], about, folder / "images.safetensors")
    return folder / "images.safetensors"


@pytest.mark.parametrize(
    ("shape", "changes", "message"),
    [
        ((3, 8, 8), {}, "holds images of 3x8x8, the network takes 3x16x16"),
        ((1, 16, 16), {}, "holds images of 1x16x16"),
        ((3, 16, 16), {"mean": (0.5,)}, "normalised with mean"),
    ],
)
def test_a_set_for_another_network_is_refused(
    shape: tuple[int, ...], changes: dict[str, Any], message: str, chain: Path, here: Path
) -> None:
    images = images_of(here, *shape, **changes)
    ran = edgeprune("compress", chain, "--input", CHAIN_SHAPE, "--images", images)
    assert ran.code == 2
    assert message in ran.error
    assert "trace" not in ran.err


@pytest.mark.parametrize("content", ["text", "picture", "tensors"])
def test_a_file_that_is_no_set_is_refused(content: str, chain: Path, here: Path) -> None:
    file = here / "images.safetensors"
    if content == "tensors":
        save_file({"input0": torch.zeros(2, 3, 16, 16)}, file)
    else:
        file.write_bytes(b"\x89PNG" if content == "picture" else b"images")
    ran = edgeprune("compress", chain, "--input", CHAIN_SHAPE, "--images", file)
    assert ran.code == 2
    assert "no set of images that edgeprune saved" in ran.error
    assert "trace" not in ran.err


def test_a_gate_on_agreement_needs_more_than_a_set(chain: Path, here: Path) -> None:
    images = images_of(here, 3, 16, 16)
    gate = ("--fail-if", "agreement.recovered < 50%")
    ran = edgeprune("compress", chain, "--input", CHAIN_SHAPE, "--images", images, *gate)
    assert ran.code == 2
    assert "trace" not in ran.err


def test_a_network_without_statistics_cannot_imagine(here: Path) -> None:
    torch.save(zoo.build("no-norm"), "net.pt")
    flags = ("--input", CHAIN_SHAPE, "--recover", "reconstruct", "--synthesis", "inversion")
    ran = edgeprune("compress", "net.pt", *flags)
    assert ran.code == 5
    assert "has no BatchNorm" in ran.error
