"""A run that was cut short, in a file to go on from.

A file is written beside the old one and takes its place whole, so that there always is one. It
says which run it is of: one of another run, or a damaged one, counts as none.
"""

from __future__ import annotations

import glob
import hashlib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a run keeps what it needs to go on.

    What is kept: steps and seconds done, parameters, buffers, the optimiser's state, averaged
    parameters, the best ones with their error, and the history; about five times the network
    with Adam.

    Attributes:
        path: The file; its directory exists. Processes that each train a module of their own keep
            a file each: ``path`` with ``.rank0``, ``.rank1``, … behind it.
        identity: Whatever makes the run what it is besides schedule, seed, shapes and the number
            of processes: the network's hash, the images', the settings of the task.
        every_seconds: From one time to the next. Smaller: less is lost, slower.
    """

    path: Path
    identity: str = ""
    every_seconds: float = 30.0

    def of_rank(self, rank: int) -> Checkpoint:
        """The file of one of several processes."""
        return replace(self, path=self.path.with_name(f"{self.path.name}.rank{rank}"))

    def save(self, run: str, state: dict[str, Any]) -> None:
        """Write the state of a run.

        Args:
            run: What :func:`digest` gives.
            state: Tensors, numbers, strings, and lists, tuples and dicts of them.
        """
        beside = self.path.with_name(f"{self.path.name}.tmp")
        with beside.open("wb") as file:
            torch.save({"run": run, "state": state}, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)

    def load(self, run: str) -> dict[str, Any] | None:
        """The state that was saved last, on the CPU; None if there is none of this very run."""
        try:
            held = torch.load(self.path, map_location="cpu", weights_only=True)
            state: dict[str, Any] | None = held["state"] if held["run"] == run else None
        # A damaged file fails in as many ways as it can be damaged.
        except Exception:
            return None
        return state

    def remove(self) -> None:
        """Delete the files of all processes: the run is complete, or not wanted any more."""
        own, beside = glob.escape(self.path.name), self.path.parent
        for file in (self.path, *beside.glob(f"{own}.rank*"), *beside.glob(f"{own}.tmp")):
            file.unlink(missing_ok=True)


def digest(*parts: object) -> str:
    """What tells one run from another, by the ``repr`` of what makes it."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()
