"""An ONNX file as a PyTorch module, so that what judges networks judges the file itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgeprune.calibration.onnx_runs import session

if TYPE_CHECKING:
    from pathlib import Path


class OnnxNetwork(nn.Module):
    """Runs a file of batch 1 in ONNX Runtime, image by image.

    Args:
        path: The file.

    Raises:
        VerificationFailed: When it cannot be loaded.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._session = session(path)
        self._names = [each.name for each in self._session.get_inputs()]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs, in the order of the file, on the inputs' device."""
        rows = [
            self._session.run(
                None,
                {
                    name: each[place : place + 1].float().cpu().numpy()
                    for name, each in zip(self._names, inputs, strict=True)
                },
            )
            for place in range(len(inputs[0]))
        ]
        columns = (
            torch.cat([torch.from_numpy(part) for part in each]) for each in zip(*rows, strict=True)
        )
        return tuple(each.to(inputs[0].device) for each in columns)
