"""What a compression leaves behind: the report, the compressed network, and the run's files."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeprune.bench import BenchSettings
from edgeprune.drafts import drafting
from edgeprune.errors import UsageError
from edgeprune.whole_folder import place_folder

if TYPE_CHECKING:
    from torch import nn

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

    def reexport(
        self,
        module: nn.Module,
        *,
        directory: Path | str | None = None,
        bench: BenchSettings | bool = True,
    ) -> CompressionReport:
        """Export, verify and measure the compressed network after training of your own.

            train(report.compressed.module)
            report.reexport(report.compressed.module).save("runs/tuned")

        Args:
            module: The compressed network with its new weights; not changed.
            directory: Folder of the new run's files; None: a temporary one.
            bench: Where and how to measure; False: not at all.

        Returns:
            A report of its own; accuracy is not known again.

        Raises:
            UsageError: It is another network.
            VerificationFailed: The file computes something else than the network.
        """
        from edgeprune.export import OnnxTarget
        from edgeprune.pipeline.reexport import reexport
        from edgeprune.report.files import decode

        if directory is not None and Path(directory).exists():
            raise UsageError(f"'{directory}' exists already: choose another directory")
        folder = RunFolder(None if directory is None else Path(directory))
        chosen = (BenchSettings() if bench else None) if isinstance(bench, bool) else bench
        tuned = reexport(self.directory, module, folder.path, target=OnnxTarget(), bench=chosen)
        written = replace(tuned, surgery=self.compressed.surgery)
        return CompressionReport(decode(folder.path), written, folder)

    def _repr_html_(self) -> str:
        """The five rows, for a notebook."""
        from edgeprune.report.notebook import as_notebook

        return as_notebook(self.document)

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
