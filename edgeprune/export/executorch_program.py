"""A PyTorch module → a .pte file for ExecuTorch, with XNNPACK's kernels where they fit."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from edgeprune.errors import DeviceFailed, ModelUnsupported, first_line
from edgeprune.export.calling import without_logging
from edgeprune.export.programs import ProgramTarget

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch.export import ExportedProgram

    from edgeprune.export.parity import Run
    from edgeprune.parity import Array


@dataclass(frozen=True, slots=True)
class ExecuTorchTarget(ProgramTarget):
    """Writes ExecuTorch programs."""

    suffix: ClassVar[str] = ".pte"

    def write(self, program: ExportedProgram, metadata: Mapping[str, str], path: Path) -> None:
        """Lower the program; the format has no room for ``metadata``."""
        with _quiet():
            try:
                from executorch.backends.xnnpack.partition.xnnpack_partitioner import (
                    XnnpackPartitioner,
                )
                from executorch.exir import to_edge_transform_and_lower
            except ImportError as error:
                how = "pip install 'edgeprune[executorch]'"
                raise DeviceFailed(f"{first_line(error)}: {how} to write .pte files") from error
            try:
                edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
                path.write_bytes(edge.to_executorch().buffer)
            except Exception as cause:  # whatever lowering raises
                reason = first_line(cause)
                raise ModelUnsupported(f"cannot be lowered to ExecuTorch: {reason}") from cause

    def runner(self, path: Path) -> Run:
        """Function that runs a written file with ExecuTorch."""
        with _quiet():
            from executorch.runtime import Runtime

            program = Runtime.get().load_program(path)
        forward = program.load_method("forward")

        def run(names: list[str], feed: dict[str, Array]) -> list[Array]:
            outputs = forward.execute([torch.from_numpy(array) for array in feed.values()])
            return [output.numpy() for output in outputs]

        return run


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the warnings and log messages of ExecuTorch."""
    with warnings.catch_warnings(), without_logging():
        warnings.simplefilter("ignore")
        yield
