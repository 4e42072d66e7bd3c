"""Runs .pt2 files with PyTorch itself, for ``worker``; see ``onnxruntime_adapter.py``.

The reference that other runtimes are faster or slower than: the exported program, operator by
operator.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

INSTALL = "pip install torch"


class Adapter:
    """The program in inference mode on the CPU."""

    def __init__(self, threads: int) -> None:
        # threads that spin while they wait starve each other beside other programs
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        import numpy
        import torch
        import torch.export

        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        self.packages = {"torch": torch.__version__, "numpy": numpy.__version__}
        self._torch = torch
        torch.nn.functional.conv2d(torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 3, 3))

    def load(self, path: Path) -> None:
        """Read the program; nothing in the file is run before that."""
        program = self._torch.export.load(path)
        nodes = {node.name: node for node in program.graph.nodes}
        self._inputs = [nodes[name].meta["val"] for name in program.graph_signature.user_inputs]
        self._call = program.module()

    def declared(self) -> list[tuple[str, str, list[int | str]]]:
        """The inputs, numbered."""
        return [
            (
                f"input_{position}",
                str(tensor.dtype).removeprefix("torch."),
                [size if isinstance(size, int) else str(size) for size in tensor.shape],
            )
            for position, tensor in enumerate(self._inputs)
        ]

    def run(self, feed: dict[str, Any]) -> list[Any]:
        """One inference."""
        with self._torch.inference_mode():
            result = self._call(*map(self._torch.from_numpy, feed.values()))
        return [tensor.numpy() for tensor in self._torch.utils._pytree.tree_leaves(result)]
