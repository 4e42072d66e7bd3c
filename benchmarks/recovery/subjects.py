"""The networks that recovery is measured on, their test images, and how they are pruned.

Networks come from a folder with ``zoo.py`` (``TABLE``, ``load``, ``predictor``) and ``metrics.py``
(``samples``, ``map50``), their images from one with ``load.py``; the example of this repository is
one more, and so is the network of ``keypoints.py``. For oracles every network also has unlabelled
images: where there is no other source, the samples are split, even places for recovery and odd ones
for the score. The split does not depend on what is asked for, so that all rows of a network are
scored on the same images.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keypoints
import numpy as np
import torch

import edgeprune as ep
from edgeprune.artifacts import KeptChannels, PruningPlan, SourceModel, Sum
from edgeprune.loading import load as load_file
from edgeprune.pruning import L2Norm, prune_to_budget
from edgeprune.pruning.importance import importance

if TYPE_CHECKING:
    from types import ModuleType

    from torch import Tensor, nn

    from edgeprune.artifacts import ChannelGroup, LinearPath, PrunedModel, TracedModel
    from edgeprune.costs import Costs
    from edgeprune.pruning import Criterion

sys.path.insert(0, str(Path(__file__).parents[1]))
zoo_networks = importlib.import_module("zoo_networks")

EXAMPLE = "cifar10_resnet"
KEYPOINTS = "keypoints"
EXAMPLE_FILE = Path(__file__).resolve().parents[2] / "examples" / f"{EXAMPLE}.pt"
ORACLE_IMAGES = 500  # images for oracles, where there are more
BATCH = 50


@dataclass(frozen=True)
class Folders:
    """Where trained networks and labelled images are.

    Attributes:
        models: Folder of trained networks.
        data: Folder of labelled images.
        keypoints: File of the keypoint network; None: there is none.
    """

    models: Path
    data: Path
    keypoints: Path | None = None


@dataclass(frozen=True)
class Subject:
    """A trained network with its images.

    Attributes:
        source: Trained network.
        metric: Metric of its score: ``top-1``, ``mAP50`` or ``PCK@0.05``, in percent.
        inputs: Test images, float32 (N, C, H, W), normalised.
        truth: Class, boxes or joints of each test image.
        unlabelled: Real images that are no test images, (M, C, H, W), normalised.
        split: Whether ``unlabelled`` was split off the samples.
        labelled: Training images, (L, C, H, W), and their classes, (L,); for the upper bound alone.
    """

    source: SourceModel
    metric: str
    inputs: np.ndarray
    truth: list[Any]
    unlabelled: Tensor
    split: bool = False
    labelled: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True)
class Outcome:
    """The score of a network.

    Attributes:
        score: Score in percent.
        correct: "1" for each test image that is classified as labelled, "0" for each other; empty
            for metrics that are none of single images.
    """

    score: float
    correct: str


def load(name: str, folders: Folders) -> Subject:
    """Load a row of ``zoo.TABLE``, the repository's example, or the keypoint network."""
    if name == KEYPOINTS:
        return _keypoints(folders)
    return _example(folders) if name == EXAMPLE else _of_the_zoo(name, folders)


def evaluate(subject: Subject, network: nn.Module, folders: Folders) -> Outcome:
    """Score a network on the subject's test images."""
    predict = _module("zoo", folders.models).predictor(network)
    starts = range(0, len(subject.inputs), BATCH)
    outputs = np.concatenate([predict(subject.inputs[at : at + BATCH]) for at in starts])
    if subject.metric == "PCK@0.05":
        return Outcome(keypoints.pck(outputs, subject.truth), "")
    if subject.metric == "mAP50":
        metrics = _module("metrics", folders.models)
        return Outcome(metrics.map50(outputs, subject.truth), "")
    correct = outputs.argmax(axis=1) == np.asarray(subject.truth)
    return Outcome(100 * float(correct.mean()), "".join(str(int(each)) for each in correct))


def is_inner(group: ChannelGroup) -> bool:
    """Whether one layer makes the group's channels and none of them is added to others."""
    reads = [member.reads for member in group.having("consumer")]
    known = all(read is not None and not _adds(read) for read in reads)
    return len(group.having("producer")) == 1 and known


def cut_inner(
    traced: TracedModel,
    share: float,
    criterion: Criterion = L2Norm(),  # noqa: B008 - frozen
) -> PrunedModel:
    """Remove the same share of every inner group, as papers do, without rounding of widths."""
    scores = importance(traced, criterion)
    groups = tuple(
        KeptChannels(group.name, group.width, _best(scores[group.name], group, 1 - share))
        for group in traced.prunable
        if is_inner(group)
    )
    return ep.prune(traced, PruningPlan(groups, traced.source.sha256, {}))


def cut_macs(traced: TracedModel, costs: Costs, share: float) -> tuple[TracedModel, PrunedModel]:
    """Remove a share of the multiply-accumulates, the same share of all groups, by L2 norm."""
    options = {"criterion": L2Norm(), "allocation": ep.Allocation(scope="local")}
    return prune_to_budget(traced, costs, ep.Macs(1 - share), **options)[:2]


def cut_by_default(
    traced: TracedModel, costs: Costs, share: float
) -> tuple[TracedModel, PrunedModel]:
    """Remove a share of the multiply-accumulates by the product's default settings."""
    return prune_to_budget(traced, costs, ep.Macs(1 - share))[:2]


def _best(scores: Tensor, group: ChannelGroup, share: float) -> tuple[int, ...]:
    """Channels with the highest scores, the same places in every partition of a group."""
    width = group.width // group.partitions
    order = scores[:width].argsort(descending=True, stable=True)
    kept = sorted(order[: max(1, round(share * width))].tolist())
    return tuple(start + place for start in range(0, group.width, width) for place in kept)


def _adds(path: LinearPath) -> bool:
    if isinstance(path, Sum):
        return True
    of = getattr(path, "of", None)
    return of is not None and _adds(of)


def _of_the_zoo(name: str, folders: Folders) -> Subject:
    zoo, metrics = (_module(module, folders.models) for module in ("zoo", "metrics"))
    entry = zoo.TABLE[name]
    source = zoo_networks.load(zoo, name)
    inputs, truth = metrics.samples(name)
    if entry.dataset == "cifar10_test":
        return _of_cifar(source, inputs, truth, folders)
    unlabelled = torch.from_numpy(inputs[::2][:ORACLE_IMAGES])
    return Subject(source, entry.metric, inputs[1::2], truth[1::2], unlabelled, split=True)


def _example(folders: Folders) -> Subject:
    source = load_file(EXAMPLE_FILE)
    images, labels, _ = _module("load", folders.data).cifar10_test()
    inputs = _normalised(images, source).numpy()
    return _of_cifar(source, inputs, list(labels), folders)


def _of_cifar(
    source: SourceModel, inputs: np.ndarray, truth: list[Any], folders: Folders
) -> Subject:
    images, classes, _ = _module("load", folders.data).cifar10_train_lossless()
    images, classes = _normalised(images, source), torch.from_numpy(classes)
    return Subject(source, "top-1", inputs, truth, images, labelled=(images, classes))


def _keypoints(folders: Folders) -> Subject:
    if folders.keypoints is None:
        sys.exit(f"{KEYPOINTS}: train it with keypoints.py, and name its file by --keypoints")
    network = keypoints.Keypoints()
    network.load_state_dict(torch.load(folders.keypoints, weights_only=True))
    shape = (1, 3, keypoints.SIDE, keypoints.SIDE)
    source = ep.wrap(network.eval(), shape, name=KEYPOINTS, mean=keypoints.MEAN, std=keypoints.STD)
    images, joints = keypoints.render(ORACLE_IMAGES, keypoints.HELD_OUT)
    unlabelled, _ = keypoints.render(ORACLE_IMAGES, keypoints.UNLABELLED)
    return Subject(source, "PCK@0.05", images.numpy(), list(joints.numpy()), unlabelled)


def _normalised(images: np.ndarray, source: SourceModel) -> Tensor:
    """Pixels (N, H, W, 3) as the network takes them, (N, 3, H, W)."""
    mean, std = torch.tensor(source.input.mean), torch.tensor(source.input.std)
    pixels = torch.from_numpy(images).float() / 255
    return ((pixels - mean) / std).permute(0, 3, 1, 2).contiguous()


def _module(name: str, folder: Path) -> ModuleType:
    """Import a file of ``folder``, which imports its neighbours by name."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return importlib.import_module(name)
