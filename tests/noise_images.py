"""Pictures of noise, for tests of what reads pictures."""

from __future__ import annotations

import numpy as np
from PIL import Image


def noise_image(height: int, width: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))
