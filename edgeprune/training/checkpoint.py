"""The state of an interrupted training run, in a file from which the run resumes.

A file is written beside the old one and replaces it atomically, so that there always is a valid
one. It names its run; a file of another run, or a damaged one, is ignored.
"""

from __future__ import annotations

import glob
import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from edgeprune.drafts import sweep
from edgeprune.whole_file import writing

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The file that holds the state of a run.

    The state is: steps and seconds done, parameters, buffers, the optimiser's state, averaged
    parameters, the best ones with their error, and the history; about five times the size of the
    network with Adam.

    Attributes:
        path: The file; its directory exists. Processes that each train a module of their own keep
            a file each: ``path`` with ``.rank0``, ``.rank1``, … behind it.
        identity: Text that identifies the run besides schedule, seed, shapes and the number of
            processes: hashes of network and images, the settings of the task.
        every_seconds: Seconds between two writes. Smaller: less is lost, slower.
    """

    path: Path
    identity: str = ""
    every_seconds: float = 30.0

    def of_rank(self, rank: int) -> Checkpoint:
        """The checkpoint of one of several processes, by its rank."""
        return replace(self, path=self.path.with_name(f"{self.path.name}.rank{rank}"))

    def save(self, run: str, state: dict[str, Any]) -> None:
        """Write the state of a run.

        Args:
            run: Name of the run, from :func:`digest`.
            state: Tensors, numbers, strings, and lists, tuples and dicts of them.
        """
        with writing(self.path) as draft, draft.open("wb") as file:
            torch.save({"run": run, "state": state}, file)

    def load(self, run: str) -> dict[str, Any] | None:
        """The state that was saved last, on the CPU; None if the file is not of this run."""
        try:
            stored = torch.load(self.path, map_location="cpu", weights_only=True)
            state: dict[str, Any] | None = stored["state"] if stored["run"] == run else None
        # A damaged file fails in as many ways as it can be damaged.
        except Exception:
            return None
        return state

    def remove(self) -> None:
        """Delete the files of all processes, and the drafts of those that were killed."""
        own, beside = glob.escape(self.path.name), self.path.parent
        sweep(beside)
        for file in (self.path, *beside.glob(f"{own}.rank*")):
            file.unlink(missing_ok=True)


def digest(*parts: object) -> str:
    """Name of a run, in hexadecimal: a hash of the ``repr`` of its parts."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()
