"""What a compression leaves behind: the report, the compressed network, and the run's files."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgeprune.drafts import drafting
from edgeprune.errors import UsageError
from edgeprune.whole_folder import place_folder

if TYPE_CHECKING:
    from edgeprune.artifacts import PrunedModel
    from edgeprune.report.document import Ratio, ReportDocument, Stage


class RunFolder:
    """Where a run's files lie.

    Args:
        path: The directory, made if there is none; None: a temporary one, removed when the last
            reference to this object goes.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or Path(tempfile.mkdtemp(prefix="edgeprune-"))
        self.path.mkdir(parents=True, exist_ok=True)
        if path is None:
            weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class CompressionReport:
    """What came out.

    Attributes:
        document: The report, as report.json has it.
        compressed: The compressed network; ``compressed.module`` is an ``nn.Module``.
    """

    document: ReportDocument
    compressed: PrunedModel
    _folder: RunFolder = field(repr=False)

    @property
    def directory(self) -> Path:
        """Where the run's files lie: the plan, the weights, both ONNX files, the report."""
        return self._folder.path

    @property
    def ratio(self) -> Ratio | None:
        """Compressed / original: MACs, parameters, bytes, latency with its interval."""
        return self.document.ratio

    @property
    def failure(self) -> Stage | None:
        """The stage of measuring that failed; None where the run is complete."""
        return next((stage for stage in self.document.stages if stage.status == "failed"), None)

    def save(self, directory: Path | str) -> Path:
        """Put the run's files into ``directory``, all of them or none.

        Raises:
            UsageError: If the directory exists already.
        """
        target = Path(directory)
        if target.exists():
            raise UsageError(f"'{target}' exists already: choose another directory")
        target.parent.mkdir(parents=True, exist_ok=True)
        with drafting(target) as draft:
            place_folder(shutil.copytree(self.directory, draft / "run"), target)
        return target
