"""Nothing that edgeprune imports writes to the user's home folder, or would send from there."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def test_importing_onnxruntime_through_edgeprune_leaves_the_home_folder_alone(
    tmp_path: Path,
) -> None:
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    known = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    program = "import edgeprune.export.parity, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**known, **home},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "1\n"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
