"""Systems of equations that numbers out of a network make, and that may have no solution."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from edgeprune.errors import ModelUnsupported, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def solvable(what: str, way_out: str) -> Iterator[None]:
    """Say in words that the network's numbers are too extreme, such as weights near the limit.

    Args:
        what: What is computed, to begin the message.
        way_out: What the user can do.

    Raises:
        ModelUnsupported: A matrix could not be factored.
    """
    try:
        yield
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        said = first_line(error)
        raise ModelUnsupported(
            f"{what}: the network's numbers are too extreme to solve for; {way_out} ({said[:80]})"
        ) from error
