"""Good files of every kind that edgeprune reads, small: what fuzzers and mutations start from.

    python benchmarks/trust/seeds.py tests/fuzz/corpus

writes them anew. They are kept in the repository, so that the same seed gives the same mutations
whatever versions of libraries are installed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import edgeprune as ep
from edgeprune import blueprint
from edgeprune.artifacts import ImageKind
from edgeprune.cli import main as edgeprune
from edgeprune.graph.program_recording import recorded
from edgeprune.images import image_sets
from edgeprune.report.files import decode, save

SHAPE = (1, 3, 8, 8)
MACHINE = {"cpu": "a processor", "cores": 2, "versions": {"torch": "2.9"}}
RUN_FILES = {  # file of a run → folder of the corpus
    "compressed.safetensors": "stored",
    "plan.json": "plans",
    "recipe.yaml": "recipes",
    "report.json": "reports",
    "compressed.onnx": "onnx",
}


def network() -> nn.Module:
    """A convolution, its BatchNorm, and a second one beside a shortcut's worth of attributes."""
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 1)
    net = nn.Sequential(first, nn.BatchNorm2d(8), nn.ReLU(), second)
    net.example_input_array = torch.zeros(SHAPE)
    net.act = nn.functional.relu
    return net.eval()


class Halves(nn.Module):
    """A network that writes out the number of its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.whole, self.part = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve the first half of the channels."""
        some, rest = torch.split(self.whole(x), [4, 4], 1)
        return torch.cat([self.part(some), rest + torch.zeros(x.shape[0], 4, 8, 8)], 1)


def write(folder: Path) -> None:
    """Write a folder for each kind of file."""
    for maker in (_models, _runs, _graphs, _images, _arguments):
        maker(folder)


def _models(folder: Path) -> None:
    net = network()
    weights = net.state_dict()
    for kind in ("networks", "weights"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    torch.save(net, folder / "networks" / "whole.pt")
    torch.save({"epoch": 3, "state_dict": weights}, folder / "weights" / "nested.pt")
    torch.save(weights, folder / "weights" / "older.pt", _use_new_zipfile_serialization=False)
    save_file(weights, folder / "weights" / "plain.safetensors", {"format": "pt"})


def _runs(folder: Path) -> None:
    """The files of a run, each in the folder of its kind; nothing in them tells of the machine."""
    with tempfile.TemporaryDirectory() as place:
        model, run = Path(place) / "net.pt", Path(place) / "run"
        torch.save(network(), model)
        quick = ("--opset", "17", "--no-bench", "--recover", "analytic", "-q", "-o", str(run))
        with contextlib.redirect_stdout(io.StringIO()):
            edgeprune(["compress", str(model), *quick])
        settings = {"model": "net.pt", "macs": "50%", "keep": ["0*"], "recover": "nm", "seed": 1}
        (run / "recipe.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        report = replace(decode(run), command="edgeprune compress net.pt", environment=MACHINE)
        save(report, run / "report.json")
        for name, kind in RUN_FILES.items():
            (folder / kind).mkdir(parents=True, exist_ok=True)
            shutil.copy(run / name, folder / kind / name)


def _graphs(folder: Path) -> None:
    """A recorded network as a run stores it, and its graph alone."""
    spec = ep.wrap(network()).input
    recorded_network = recorded(nn.Sequential(Halves(), nn.ReLU()), spec)
    (folder / "graphs").mkdir(parents=True, exist_ok=True)
    (folder / "graphs" / "halves.json").write_text(
        recorded_network.recorded_program, encoding="utf-8"
    )
    notes = {"plan": "{}", "input": msgspec.json.encode(spec).decode()}
    blueprint.write(recorded_network, folder / "stored" / "recorded.safetensors", notes)


def _images(folder: Path) -> None:
    for kind in ("image-sets", "pictures"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    spec = ep.wrap(network()).input
    about = image_sets.ImageSet(
        "of a rule", ImageKind.PROCEDURAL, 0, "ab" * 32, spec.mean, spec.std
    )
    draw = torch.Generator().manual_seed(0)
    images = torch.rand((2, *SHAPE[1:]), generator=draw)
    image_sets.save((images,), about, folder / "image-sets" / "images.safetensors")
    pixels = np.arange(12 * 12 * 3, dtype=np.uint8).reshape(12, 12, 3)
    for name in ("picture.png", "picture.jpg", "picture.webp", "picture.tiff"):
        Image.fromarray(pixels).save(folder / "pictures" / name)


def _arguments(folder: Path) -> None:
    texts = {
        "compress": "--macs 50%\n--input 1x3x8x8\n--unit 4\n--recover nm,lbyl\n--mean 0.1,0.2,0.3",
        "more": "--params 1.5M\n--scope global\n--keep 0.*\n--budget-time 1.5h\n--within 0.5%",
        "measure": "--device ssh://pi@board:22?python=/usr/bin/python3\n--runtime onnxruntime,ncnn",
        "judge": "--fail-if latency.ratio.high > 0.8 or ratio.bytes > 0.5\n--seed 3",
        "build": "--arch torchvision:resnet18\n--arch-arg num_classes=10\n--threads 2\n--opset 17",
    }
    (folder / "arguments").mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / "arguments" / f"{name}.txt").write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Write the corpus."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where the files go")
    folder = parser.parse_args().folder.resolve()
    write(folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    print(f"{len(files)} files, {sum(path.stat().st_size for path in files) / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
