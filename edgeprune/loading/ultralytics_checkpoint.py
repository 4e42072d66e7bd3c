"""Networks of Ultralytics (YOLO): image size, stride and class names, and a head fit for export.

The head is switched to export as ``YOLO(...).export(format="onnx")`` does, so that the file has
the outputs that the library expects of it: decoded boxes and scores, or detections where the head
needs no suppression. The texts that the library reads from an ONNX file are written into it, so
``YOLO("compressed.onnx")`` runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from edgeprune.artifacts import InputSpec
from edgeprune.errors import UsageError
from edgeprune.loading.checkpoint_kind import Adapted

HOME = "ultralytics.nn.tasks"
USUAL_SIZE, USUAL_STRIDE = 640, 32
USUAL_CHANNELS = 3
LARGEST = 1 << 14
"""Pixels; a larger image size in a checkpoint is not believed."""

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgeprune.loading.checkpoint_kind import Shapes


class UltralyticsCheckpoint:
    """Reads what Ultralytics saves: a ``DetectionModel`` or a relative of it."""

    def recognises(self, network: nn.Module) -> bool:
        """Whether the class is the library's, or made from one of the library's."""
        return any(base.__module__ == HOME for base in type(network).__mro__)

    def adapted(
        self,
        network: nn.Module,
        checkpoint: Mapping[object, object],
        shapes: Shapes,
        *,
        raw_head: bool,
    ) -> Adapted:
        """The network with its head switched to export, or without the decoding after it.

        Raises:
            UsageError: A raw head is asked for, and there is nothing to decode.
        """
        _make_plain(network)
        stride = max((int(each) for each in _numbers(getattr(network, "stride", None))), default=0)
        stride = stride or USUAL_STRIDE
        height, width = _given_size(shapes) or _size(network, checkpoint, stride)
        channels = _channels(network)
        head = _switched_to_export(network, (height, width))
        facts = _facts(network, head, stride, (height, width), channels)
        shape = (1, channels, height, width)
        if raw_head:
            if not hasattr(head, "forward_head"):
                raise UsageError(f"--raw-head: a {type(head).__name__} head decodes nothing")
            head.export = False  # type: ignore[assignment]
            network = RawPredictions(network)
        black, white = (0.0,) * channels, (1.0,) * channels
        metadata = () if raw_head else tuple((key, str(value)) for key, value in facts.items())
        return Adapted(network, InputSpec((shape,), black, white, metadata=metadata))


class RawPredictions(nn.Module):
    """The network up to its last layers: box distributions and class logits, not decoded."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.training = False

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Logits before the sigmoid and distributions before the softmax, (1, channels, places)."""
        _, raw = self.network(image)
        raw = raw[-1] if isinstance(raw, tuple) else raw
        if "one2one" in raw:
            raw = raw["one2one"]
        return {name: each for name, each in raw.items() if isinstance(each, Tensor)}


def _make_plain(network: nn.Module) -> None:
    """Keep settings as a dictionary, and no loss: neither is needed to run the network."""
    settings = getattr(network, "args", None)
    if isinstance(settings, SimpleNamespace):
        network.args = dict(vars(settings))  # type: ignore[assignment]
    if "criterion" in vars(network):
        network.criterion = None  # type: ignore[assignment]


def _switched_to_export(network: nn.Module, size: tuple[int, int]) -> nn.Module:
    """Set what the library's exporter sets, and give the head; in place."""
    *_, head = network.model.children()  # type: ignore[union-attr]
    if hasattr(head, "fuse") and getattr(head, "end2end", False):
        head.fuse()  # type: ignore[operator]  # the branch that only training needs goes
    places = sum(
        int(size[0] / each) * int(size[1] / each)
        for each in _numbers(getattr(head, "stride", None))
    )
    for part in network.modules():
        if type(part).__module__.startswith("ultralytics.") and hasattr(type(part), "export"):
            switches: Any = part
            switches.export, switches.format, switches.dynamic = True, "onnx", False
            if hasattr(type(part), "shape"):
                switches.shape = None
            if hasattr(type(part), "max_det") and places:
                switches.max_det = min(int(switches.max_det), places)
    return head


def _facts(
    network: nn.Module, head: nn.Module, stride: int, size: tuple[int, int], channels: int
) -> dict[str, object]:
    """What the library's exporter writes into a file, as far as the library reads it."""
    names = getattr(network, "names", None)
    facts: dict[str, object] = {
        "description": "Ultralytics model compressed by edgeprune",
        "stride": stride,
        "task": _task(network),
        "head": type(head).__name__,
        "batch": 1,
        "imgsz": list(size),
        "names": _names(names, int(getattr(head, "nc", 0))),
        "args": {"batch": 1, "dynamic": False, "nms": False},
        "channels": channels,
        "end2end": bool(getattr(head, "end2end", False)),
    }
    if hasattr(head, "kpt_shape"):
        facts["kpt_shape"] = [int(each) for each in head.kpt_shape]  # type: ignore[union-attr]
    return facts


def _names(names: object, classes: int) -> dict[int, str]:
    if isinstance(names, Mapping):
        return {int(number): str(name) for number, name in names.items()}
    if isinstance(names, list | tuple):
        return {number: str(name) for number, name in enumerate(names)}
    return {number: str(number) for number in range(classes)}


def _task(network: nn.Module) -> str:
    own = getattr(network, "task", None)
    if isinstance(own, str):
        return own
    kinds = {base.__name__ for base in type(network).__mro__}
    return next((task for kind, task in TASKS.items() if kind in kinds), "detect")


def _given_size(shapes: Shapes) -> tuple[int, int] | None:
    """Height and width of the image that the user gave; None without one."""
    return next(((shape[2], shape[3]) for shape in shapes if len(shape) == 4), None)


def _size(network: nn.Module, checkpoint: Mapping[object, object], stride: int) -> tuple[int, int]:
    """Height and width that it was trained with, as multiples of the stride."""
    for settings in (checkpoint.get("train_args"), getattr(network, "args", None)):
        known = settings.get("imgsz") if isinstance(settings, Mapping) else None
        sides = [int(each) for each in _numbers(known) if 0 < each <= LARGEST]
        if sides:
            height, width = (sides * 2)[:2]
            return -(-height // stride) * stride, -(-width // stride) * stride
    return USUAL_SIZE, USUAL_SIZE


def _channels(network: nn.Module) -> int:
    settings = getattr(network, "yaml", None)
    if isinstance(settings, Mapping):
        for key in ("channels", "ch"):
            if isinstance(settings.get(key), int):
                return int(settings[key])
    return USUAL_CHANNELS


def _numbers(value: object) -> Iterable[float]:
    if isinstance(value, Tensor):
        return [float(each) for each in value.flatten()]
    if isinstance(value, bool):
        return []
    several = value if isinstance(value, list | tuple) else [value]
    return [each for each in several if isinstance(each, int | float)]


TASKS = {  # class of the library → its task; relatives of a class come before it
    "SegmentationModel": "segment",
    "PoseModel": "pose",
    "OBBModel": "obb",
    "ClassificationModel": "classify",
    "DetectionModel": "detect",
}
