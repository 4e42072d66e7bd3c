"""What synthesized images are worth, and what they cost.

For each network, sets of images from one source each: seconds an image, how far the statistics of
the network are from the stored ones (``statistics_loss.py``) and its score after half of the inner
channels were removed and ``Reconstruct`` fitted it on these images, treated as procedural ones and
as real ones. Beside ours stands the schedule of DeepInversion, measured at several of its steps.

    python benchmarks/recovery/inversion.py --models ../shared/models --data ../shared/data
    python benchmarks/recovery/inversion.py --sizes 32 112 224    # time alone, ResNet-18
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from subjects import EXAMPLE, Folders, cut_inner, evaluate, load
from torch.nn import functional as F
from torchvision.models import resnet18

import edgeprune as ep
from edgeprune import training
from edgeprune.artifacts import ImageKind
from edgeprune.graph.batch_norms import batch_norms
from edgeprune.images.procedural import DeadLeaves
from edgeprune.images.quality import quality
from edgeprune.images.synthesis.generator import Generated
from edgeprune.images.synthesis.inversion import Inversion
from edgeprune.images.synthesis.logits import cyclic_labels, logits_of
from edgeprune.images.synthesis.statistics_loss import StatisticsLoss, own_norms
from edgeprune.natural_images import MEAN, STD, normalised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from subjects import Subject
    from torch import Tensor, nn

    from edgeprune.artifacts import PrunedModel, SourceModel, TracedModel
    from edgeprune.images.source import ImageSource

NETWORKS = ("resnet20", "resnet8", "resnet56", EXAMPLE, "mobilenet_v1_025", "ds_cnn")
OURS = (50, 100, 200)
THEIRS = (50, 100, 200, 500, 1000, 2000)
HALF = 0.5


def deep_inversion(
    original: SourceModel, count: int, marks: Sequence[int], seed: int
) -> Iterator[tuple[int, Tensor, float]]:
    """DeepInversion as its authors run it on CIFAR-10; step, images and seconds at each mark.

    White noise; cross entropy + 10 · Σ_l (‖Δmean‖₂ + ‖Δvar‖₂) + 2.5e-5 · total variation; Adam at
    0.1, images rolled by up to 2 pixels. Theirs are normalised by CIFAR-10's deviation, so the
    pixels of other networks are brought to that unit. The network has one input, an image.
    """
    network = copy.deepcopy(original.module).eval().requires_grad_(False)
    draw = torch.Generator().manual_seed(seed)
    images = torch.randn(count, *original.input.shapes[0][1:], generator=draw).requires_grad_()
    adam = torch.optim.Adam([images], lr=0.1)
    distances: list[Tensor] = []
    for layer in batch_norms(network).values():
        layer.register_forward_pre_hook(lambda *at: distances.append(_their_distance(*at)))
    start, paused = time.perf_counter(), 0.0
    for step in range(1, max(marks) + 1):
        distances.clear()
        dy, dx = torch.randint(-2, 3, (2,), generator=draw).tolist()
        rolled = images.roll((dy, dx), (2, 3))
        logits = logits_of(network(normalised(MEAN + STD * rolled, original.input)))
        loss = _their_loss(rolled, distances, logits)
        adam.zero_grad()
        loss.backward()
        adam.step()
        if step in marks:
            seconds, before = time.perf_counter() - start - paused, time.perf_counter()
            yield step, normalised(MEAN + STD * images.detach(), original.input), seconds
            paused += time.perf_counter() - before


def _their_loss(images: Tensor, distances: list[Tensor], logits: Tensor | None) -> Tensor:
    """Their objective, given the distances of the layers' statistics and the logits, if any."""
    loss = 10 * torch.stack(distances).sum() + 2.5e-5 * _their_variation(images)
    if logits is None:
        return loss
    labels = cyclic_labels(torch.arange(len(images)), logits.shape[1])
    return loss + F.cross_entropy(logits, labels)


def _their_distance(layer: nn.Module, given: tuple[Tensor, ...]) -> Tensor:
    """Distance of a BatchNorm's input, (N, C, …), from its stored statistics, ()."""
    axes = [axis for axis in range(given[0].dim()) if axis != 1]
    variance, mean = torch.var_mean(given[0], dim=axes, correction=0)
    return (mean - layer.running_mean).norm() + (variance - layer.running_var).norm()


def _their_variation(images: Tensor) -> Tensor:
    """Norms of the differences along rows, columns and both diagonals."""
    down, right = images.diff(dim=2), images.diff(dim=3)
    falling = images[:, :, 1:, 1:] - images[:, :, :-1, :-1]
    rising = images[:, :, 1:, :-1] - images[:, :, :-1, 1:]
    return sum(each.norm() for each in (down, right, falling, rising))


@torch.no_grad()
def statistics_loss(original: SourceModel, images: Tensor) -> float:
    """The loss of a whole set, dimensionless."""
    network = copy.deepcopy(original.module).eval()
    loss = StatisticsLoss(network, own_norms(original), training.join())
    network(images)
    return float(loss())


class Bench:
    """One network, pruned once."""

    def __init__(self, name: str, folders: Folders, count: int, seed: int) -> None:
        self.name, self.folders, self.count, self.seed = name, folders, count, seed
        self.subject: Subject = load(name, folders)
        self.traced: TracedModel = ep.survey(self.subject.source)[0]
        self.pruned: PrunedModel = cut_inner(self.traced, HALF)

    def sets(self, options: argparse.Namespace) -> Iterator[tuple[str, int, Tensor, float]]:
        """Every set of images: its source, the number of steps, the images, their seconds."""
        original = self.subject.source
        sources: list[tuple[str, int, ImageSource]] = [("dead leaves", 0, DeadLeaves())]
        sources += [("inversion", steps, Inversion(steps=steps)) for steps in options.ours]
        sources += [("generator", steps, Generated(steps=steps)) for steps in options.generator]
        for name, steps, source in sources:
            start = time.perf_counter()
            (images,) = source(original, self.count, self.seed)
            yield name, steps, images, time.perf_counter() - start
        if options.theirs:
            for step, images, seconds in deep_inversion(
                original, self.count, options.theirs, self.seed
            ):
                yield "DeepInversion", step, images, seconds

    def record(self, source: str, steps: int, images: Tensor, seconds: float) -> dict[str, Any]:
        """The figures of one set."""
        original, scored = self.subject.source, quality(self.subject.source, (images,))
        return {
            "network": self.name,
            "source": source,
            "steps": steps,
            "images": len(images),
            "seed": self.seed,
            "seconds_per_image": seconds / len(images),
            "statistics_loss": statistics_loss(original, images),
            "statistics_shift": scored.statistics_shift,
            "noise_shift": scored.noise_shift,
            "confidence": scored.confidence,
            "metric": self.subject.metric,
            "score_as_synthetic": self._score(images, synthetic=True),
            "score_as_real": self._score(images, synthetic=False),
        }

    def _score(self, images: Tensor, *, synthetic: bool) -> float:
        source = ep.Given((images,), kind=ImageKind.PROCEDURAL if synthetic else ImageKind.REAL)
        method = ep.Reconstruct(source=source, images=len(images))
        context = ep.RecoveryContext(seed=self.seed, score_images=False)
        recovered = method(self.traced, self.pruned, context)
        return evaluate(self.subject, recovered.module, self.folders).score


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All sets of all networks; the file is written after each."""
    folders, records = Folders(options.models, options.data), []
    for name in options.networks:
        bench = Bench(name, folders, options.images, options.seed)
        for each in bench.sets(options):
            records.append(bench.record(*each))
            options.out.write_text(json.dumps(records, indent=1), encoding="utf-8")
            print(records[-1], file=sys.stderr, flush=True)
    return records


def times(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds an image and a hundred steps on ResNet-18 with random weights, by the side."""
    training.join()  # its imports are not to be timed
    records, steps, count = [], max(2, min(options.ours)), options.images
    makers: dict[str, Callable[[SourceModel], object]] = {
        "inversion": lambda of: Inversion(steps=steps)(of, count, 0),
        "generator": lambda of: Generated(steps=steps)(of, count, 0),
        "DeepInversion": lambda of: list(deep_inversion(of, count, [steps], 0)),
    }
    for side in options.sizes:
        original = ep.wrap(resnet18(), (1, 3, side, side), name="resnet18")
        for name, make in makers.items():
            start = time.perf_counter()
            make(original)
            seconds = (time.perf_counter() - start) / count / steps * 100
            records.append({"side": side, "source": name, "seconds_per_image": seconds})
            options.out.write_text(json.dumps(records, indent=1), encoding="utf-8")
    return records


def table(records: list[dict[str, Any]]) -> str:
    """The records in Markdown, one line each."""
    shown = [name for name in records[0] if name not in ("seed", "metric")]
    lines = [" | ".join(shown), " | ".join("---" for _ in shown)]
    for record in records:
        values = [record[name] for name in shown]
        lines.append(" | ".join(f"{v:.3g}" if isinstance(v, float) else str(v) for v in values))
    return "\n".join(f"| {line} |" for line in lines)


def plot(records: list[dict[str, Any]], path: Path) -> None:
    """The statistics loss against the gradient steps, a panel for each network."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        sys.exit("--plot needs matplotlib: pip install matplotlib")
    names = list(dict.fromkeys(record["network"] for record in records))
    figure = Figure(figsize=(4.5 * len(names), 3.5), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        own = [record for record in records if record["network"] == name]
        for source in dict.fromkeys(record["source"] for record in own):
            line = [(r["steps"], r["statistics_loss"]) for r in own if r["source"] == source]
            axes.plot(*zip(*line, strict=True), marker="o", label=source)
        axes.set(title=name, xlabel="gradient steps", ylabel="statistics loss", yscale="log")
        axes.set_xscale("symlog", linthresh=50)
        axes.legend()
    figure.savefig(path, dpi=150)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, help="folder of trained networks")
    parser.add_argument("--data", type=Path, help="folder of their images")
    parser.add_argument("--networks", nargs="+", default=NETWORKS[:2], choices=NETWORKS)
    parser.add_argument("--images", type=int, default=256, help="number in each set")
    parser.add_argument("--ours", type=int, nargs="*", default=OURS, help="steps of inversion")
    parser.add_argument(
        "--generator", type=int, nargs="*", default=(100,), help="steps of the generator"
    )
    parser.add_argument(
        "--theirs", type=int, nargs="*", default=THEIRS, help="steps of DeepInversion"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sizes", type=int, nargs="+", help="measure only time, at these sides")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--plot", type=Path, help="PNG of the loss against the steps")
    parser.add_argument("--out", type=Path, default=Path("inversion.json"))
    options = parser.parse_args()
    if not options.sizes and not (options.models and options.data):
        parser.error("--models and --data are needed, unless --sizes is given")
    torch.set_num_threads(options.threads)
    records = times(options) if options.sizes else measure(options)
    print(table(records))
    if options.plot and not options.sizes:
        plot(records, options.plot)


if __name__ == "__main__":
    main()
