"""Networks that are called by name, with a dictionary, with a list, or by a user's function."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import onnx
import pytest
import torch
import zoo
from torch import Tensor, nn

import edgeprune as ep
from edgeprune import blueprint
from edgeprune.cli import main
from edgeprune.errors import UsageError
from edgeprune.export.weights import save_weights
from edgeprune.loading import LoadOptions, load, parse_inputs, wrap
from edgeprune.loading.factories import build

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUICK: dict[str, Any] = {"recover": None, "bench": False, "target": ep.OnnxTarget(opset=17)}
SHAPE = zoo.INPUT_SHAPE
DEFINITIONS = """
import zoo
from torch import nn

def make():
    return zoo.build("chain")

def ask(network, image):
    return network(image * 2)

def fail(network, image):
    return network(image[:, :1])

word = 3
"""


class ByKeyword(nn.Module):
    """Takes its image by keyword alone, as Hugging Face's networks may be called."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = zoo.build("chain")

    def forward(self, *, pixel_values: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        return {"logits": self.chain(pixel_values if mask is None else pixel_values * mask)}


class FromDictionary(ByKeyword):
    """Takes a batch as a dictionary."""

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:  # type: ignore[override]
        return {"logits": self.chain(batch["pixel_values"])}


class FromList(ByKeyword):
    """Takes a list of images."""

    def forward(self, images: list[Tensor]) -> Tensor:  # type: ignore[override]
        return self.chain(torch.cat(list(images)))


def doubled(network: nn.Module, image: Tensor) -> Tensor:
    return network.chain(image * 2)  # type: ignore[no-any-return, operator]


FORMS: dict[str, tuple[type[nn.Module], Any]] = {
    "keywords": (ByKeyword, {"pixel_values": torch.zeros(SHAPE)}),
    "mapping": (FromDictionary, {"pixel_values": SHAPE}),
    "list": (FromList, SHAPE),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_found_and_computes_the_same(form: str) -> None:
    kind, example = FORMS[form]
    network = kind().eval()
    source = wrap(network, example)
    image = torch.randn(SHAPE)
    with torch.no_grad():
        given = source.module(image)
        wanted = network.chain(image)  # type: ignore[operator]
    assert torch.equal(given if form == "list" else given["logits"], wanted)
    assert source.input.names == (() if form == "list" else ("pixel_values",))


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_pruned_written_and_read_again(form: str, tmp_path: Path) -> None:
    kind, example = FORMS[form]
    report = ep.compress(kind().eval(), example, **QUICK)
    assert report.ratio is not None
    assert report.ratio.macs < 0.6
    inputs = [each.name for each in onnx.load(report.directory / "compressed.onnx").graph.input]
    assert inputs == (["input"] if form == "list" else ["pixel_values"])
    save_weights(report.compressed, tmp_path / "net.safetensors")
    stored = blueprint.read(tmp_path / "net.safetensors")
    again = stored.network(blueprint.Allowed((__name__,)))
    image = torch.randn(SHAPE)
    with torch.no_grad():
        for got, wanted in zip(
            _tensors(again(image)), _tensors(report.compressed.module(image)), strict=True
        ):
            assert torch.equal(got, wanted)


def _tensors(output: Any) -> list[Tensor]:
    return list(output.values()) if isinstance(output, dict) else [output]


def test_a_function_of_the_user_runs_the_network() -> None:
    network, image = ByKeyword().eval(), torch.randn(SHAPE)
    source = wrap(network, SHAPE, forward=doubled)
    with torch.no_grad():
        assert torch.equal(source.module(image), network.chain(image * 2))


def test_a_form_that_does_not_fit_says_why() -> None:
    with pytest.raises(UsageError, match=r"pixel:1x3x\d+x\d+: .*unexpected keyword"):
        wrap(ByKeyword(), {"pixel": SHAPE})


def test_names_and_types_are_typed_together() -> None:
    given = parse_inputs(["ids:1x16:int64", "pixel_values:1x3x8x8"])
    assert given.names == ("ids", "pixel_values")
    assert given.texts == ("ids:1x16:int64", "pixel_values:1x3x8x8")
    assert parse_inputs(given.texts) == given


@pytest.mark.parametrize(
    "texts", [["ids:1x16", "1x3x8x8"], ["x:1x3", "x:1x3"], ["a:b:1x3:int8"], ["a-b:1x3"]]
)
def test_names_that_are_none_are_refused(texts: list[str]) -> None:
    with pytest.raises(UsageError, match="--input"):
        parse_inputs(texts)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "formdefs.py").write_text(DEFINITIONS)
    torch.save(zoo.build("chain").state_dict(), tmp_path / "weights.pt")
    yield tmp_path / "weights.pt"
    sys.modules.pop("formdefs", None)


def test_forward_is_named_on_the_command_line(weights: Path, tmp_path: Path) -> None:
    shape = "x".join(map(str, SHAPE))
    flags = ["--arch", "formdefs.py:make", "--forward", "formdefs.py:ask", "--input", f"x:{shape}"]
    assert main(["prune", str(weights), *flags, "-o", "run", "-q"]) == 0
    run = load("run", LoadOptions(allow=("formdefs.py",)))
    assert run.input.names == ("x",)
    assert "x:1x3" in (tmp_path / "run" / "recipe.yaml").read_text()


@pytest.mark.parametrize(
    ("forward", "said"),
    [
        ("formdefs.py:asks", "did you mean 'ask'"),
        ("formdefs.py:word", "has no function 'word'"),
        ("formdefs", "it must be pkg.mod:fn"),
        ("nowhere.py:fn", "no Python file"),
        ("formdefs.py:fail", "does not take an input of"),
    ],
)
def test_a_forward_that_cannot_be_is_explained(forward: str, said: str, weights: Path) -> None:
    options = LoadOptions(arch="formdefs.py:make", forward=forward, input_shapes=(SHAPE,))
    with pytest.raises(UsageError) as caught:
        load(weights, options)
    assert said in str(caught.value)


def test_a_recipe_names_no_forward(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (weights.parent / "recipe.yaml").write_text("forward: formdefs.py:fail\n")
    flags = ["--arch", "formdefs.py:make", "--input", "x".join(map(str, SHAPE)), "-o", "run"]
    assert main(["prune", str(weights), "--recipe", "recipe.yaml", *flags]) == 0
    assert "--forward" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arch", "package"), [("timm:resnet18", "timm"), ("smp:Unet:resnet18", "segmentation-models")]
)
def test_a_library_that_is_missing_says_how_to_have_it(
    arch: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("timm", "segmentation_models_pytorch"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=f"pip install {package}"):
        build(arch, {})


class FakeTimm(SimpleNamespace):
    """timm as far as it is asked."""

    def list_models(self) -> list[str]:
        return ["tiny_net"]

    def create_model(self, name: str, *, pretrained: bool, width: int = 4) -> nn.Module:
        assert name == "tiny_net"
        assert not pretrained
        return nn.Linear(width, width)


def test_timm_is_asked_by_name_and_never_for_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", FakeTimm())
    network: Any = build("timm:tiny_net", {"width": 7})
    assert network.in_features == 7
    with pytest.raises(UsageError, match=r"did you mean timm:tiny_net\?"):
        build("timm:tiny_nat", {})


def test_an_encoder_is_named_and_never_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unet(nn.Module):
        def __init__(self, encoder_name: str = "r", encoder_weights: str | None = "all") -> None:
            super().__init__()
            self.made = (encoder_name, encoder_weights)

    fake = SimpleNamespace(Unet=Unet)
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", fake)
    assert build("smp:Unet:resnet18", {}).made == ("resnet18", None)
    assert build("smp:Unet", {}).made == ("r", None)
    with pytest.raises(UsageError, match=r"did you mean smp:Unet\?"):
        build("smp:UNet", {})
