"""Trained networks out of a folder, with the normalisation of their pixels.

The folder holds ``zoo.py``: ``load`` gives the network of a name, and ``TABLE`` its entry:
``input_shape`` without the batch, ``colour``, and how pixels of 0 to 255 become inputs (times
``scale``, less ``mean``, over ``std``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import edgeprune as ep

if TYPE_CHECKING:
    from edgeprune.artifacts import SourceModel


def load(zoo: Any, name: str) -> SourceModel:
    """A network of the zoo; spectra (MFCC) are taken as they are, as they are no pixels."""
    entry = zoo.TABLE[name]
    largest = 255 * entry.scale if entry.colour != "MFCC" else 1
    mean, std = (tuple(value / largest for value in each) for each in (entry.mean, entry.std))
    channels = entry.input_shape[0]
    return ep.wrap(
        zoo.load(name),
        (1, *entry.input_shape),
        name=name,
        mean=(mean * channels)[:channels],
        std=(std * channels)[:channels],
    )
