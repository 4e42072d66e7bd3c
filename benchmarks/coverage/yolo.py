"""YOLO as its users have it: a trained checkpoint, one command, and the file in YOLO() again.

    python benchmarks/coverage/yolo.py                     # every family and task; hours
    python benchmarks/coverage/yolo.py --networks yolo11n yolov8n-seg --page docs/results/yolo.md

Nothing can be downloaded where this runs, so the checkpoints are made: the library's networks with
random weights and BatchNorm statistics of noise, saved as its trainer saves them, with other raw
weights beside the averaged ones. ``edgeprune compress NAME.pt --allow ultralytics --target onnx``
runs with no other flag, at the image size of the checkpoint; then the library predicts with
``YOLO("compressed.onnx")`` on a picture. What is looked at: exit status, that the averaged weights
were taken, names, stride, task and image size in the file, and the shapes of what is predicted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yolo_page
from networks import YOLO
from PIL import Image
from torch import nn

RAW = "yolov8n", "yolo11n-seg", "yolo11n-pose", "yolov10n"
"""Networks that are compressed with ``--raw-head`` as well."""


def checkpoint(name: str, file: Path, side: int) -> dict[int, str]:
    """Save a network as the library's trainer does.

    Args:
        name: A configuration of the library's: ``yolo11n-seg``.
        file: Where to.
        side: Pixels of the images that it was trained on, so to speak.

    Returns:
        The names of its classes.
    """
    import ultralytics

    torch.manual_seed(0)
    loaded = ultralytics.YOLO(f"{name}.yaml")
    task, averaged = loaded.task, loaded.model
    settings = {"task": task, "mode": "train", "imgsz": side, "model": f"{name}.pt", "batch": 16}
    averaged.args = settings
    averaged.names = {number: f"thing {number}" for number in range(len(averaged.names))}
    _enliven(averaged)
    raw = ultralytics.YOLO(f"{name}.yaml").model
    raw.args, raw.names = settings, averaged.names
    content = {
        "epoch": 99, "best_fitness": 0.5, "model": raw.half(), "ema": averaged.half(),
        "updates": 1000, "optimizer": None, "train_args": settings, "train_metrics": {},
        "date": "2026-01-01T00:00:00", "version": ultralytics.__version__,
    }  # fmt: skip
    torch.save(content, file)
    return averaged.names


@torch.no_grad()
def _enliven(network: nn.Module) -> None:
    """BatchNorm statistics of noise, so that what comes out depends on what goes in."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.uniform_(0.5, 1.5)
            layer.bias.normal_(0, 0.3)
            layer.momentum = 0.5
    network.train()
    for _ in range(4):
        network(torch.rand(4, 3, 128, 128))
    network.eval()


def measured(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Compress one network and predict with it; ``failed`` says what is wrong."""
    own, _, raw = name.partition(" ")
    found: dict[str, Any] = {"network": name, "side": options.side, "flags": options.flags}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        names = checkpoint(own, Path(folder, f"{own}.pt"), options.side)
        command = [sys.executable, "-m", "edgeprune", "compress", f"{own}.pt"]
        command += [
            "--allow",
            "ultralytics",
            "--target",
            "onnx",
            *raw.split(),
            *options.flags.split(),
        ]
        started, cpu_before = time.monotonic(), _children_cpu_s()
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        found["wall_s"], found["cpu_s"] = time.monotonic() - started, _children_cpu_s() - cpu_before
        if ran.returncode:
            return found | {"failed": f"exit {ran.returncode}: {ran.stderr.strip()[-400:]}"}
        run = Path(folder, "runs", own)
        report = json.loads((run / "report.json").read_text(encoding="utf-8"))
        found |= _figures(report)
        try:
            found["predicted"] = "raw" if raw else _predicted(run, names, report)
        except Exception as error:  # whatever the library raises
            found["failed"] = f"{type(error).__name__}: {error}"
    return found


def _figures(report: dict[str, Any]) -> dict[str, Any]:
    """What the report says, and the seconds of each stage."""
    return {
        "macs": report["ratio"]["macs"],
        "prunable": report["coverage"]["prunable_macs_share"],
        "surgery": report["surgery"]["max_rel_diff"],
        "parity": report["parity"]["max_rel_diff"],
        "averaged": "ema" in json.dumps(report["notes"]).lower(),
        "stages": {each["name"]: each.get("seconds") for each in report["stages"]},
    }


def _predicted(run: Path, names: dict[int, str], report: dict[str, Any]) -> str:
    """What ``YOLO("compressed.onnx")`` says of a picture; raises where it does not fit."""
    import ultralytics

    pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    picture = run / "picture.png"
    Image.fromarray(pixels).save(picture)
    loaded = ultralytics.YOLO(run / "compressed.onnx", task=None)
    result, *_ = loaded.predict(picture, verbose=False, conf=0.0, save=False)
    if dict(result.names) != names:
        raise ValueError(f"other names: {result.names}")
    parts = {
        part: list(getattr(result, part).data.shape)
        for part in ("boxes", "masks", "keypoints", "probs")
        if getattr(result, part) is not None
    }
    return ", ".join(f"{part} {'x'.join(map(str, shape))}" for part, shape in parts.items())


def _key(name: str, side: int, flags: str) -> str:
    return f"{name}, {side}, {flags}"


def _children_cpu_s() -> float:
    return sum(os.times()[2:4])


def main() -> None:
    """Print the table row by row and keep all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=[], help='such as "yolov8n --raw-head"')
    parser.add_argument("--side", type=int, default=640, help="pixels, in the checkpoint")
    parser.add_argument("--flags", default="", help="further ones for compress, in one argument")
    parser.add_argument("--out", type=Path, default=Path("yolo.json"))
    parser.add_argument("--folder", type=Path, help="for temporary files")
    parser.add_argument("--page", type=Path, help="write the table of all that is known there")
    options = parser.parse_args()
    known: dict[str, Any] = {}
    if options.out.exists():
        listed = json.loads(options.out.read_text(encoding="utf-8"))
        known = {_key(each["network"], each["side"], each["flags"]): each for each in listed}
    print("\n".join(yolo_page.head()))
    for name in options.networks or [*YOLO, *(f"{each} --raw-head" for each in RAW)]:
        key = _key(name, options.side, options.flags)
        if key not in known or options.networks:
            known[key] = measured(name, options)
            options.out.write_text(json.dumps(list(known.values()), indent=1), encoding="utf-8")
        print(yolo_page.row(known[key]), flush=True)
    if options.page is not None:
        options.page.write_text(yolo_page.text(list(known.values())), encoding="utf-8")


if __name__ == "__main__":
    main()
