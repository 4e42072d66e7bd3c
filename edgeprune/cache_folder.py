"""Where edgeprune keeps on this machine what takes long to make: emulated systems, conversions."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "EDGEPRUNE_CACHE"
"""Environment variable with the folder to use instead of the user's own."""


def cache_folder() -> Path:
    """The folder; it need not exist yet."""
    import platformdirs

    return Path(os.environ.get(VARIABLE) or platformdirs.user_cache_dir("edgeprune")).absolute()
