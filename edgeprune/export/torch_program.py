"""A PyTorch module → a .pt2 file, which PyTorch itself runs without the module's code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from edgeprune import own_files
from edgeprune.export.programs import ProgramTarget

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch.export import ExportedProgram

    from edgeprune.export.parity import Run
    from edgeprune.parity import Array


@dataclass(frozen=True, slots=True)
class TorchTarget(ProgramTarget):
    """Writes PyTorch's own exported programs."""

    suffix: ClassVar[str] = ".pt2"

    def write(self, program: ExportedProgram, metadata: Mapping[str, str], path: Path) -> None:
        """Save the program, with the metadata in ``edgeprune.json``."""
        origin = {"edgeprune.json": json.dumps(dict(metadata))}
        torch.export.save(program, path, extra_files=origin)
        own_files.remember(path)

    def runner(self, path: Path) -> Run:
        """Function that runs a written file with PyTorch."""
        call = torch.export.load(path).module()

        def run(names: list[str], feed: dict[str, Array]) -> list[Array]:
            return [output.numpy() for output in call(*map(torch.from_numpy, feed.values()))]

        return run
