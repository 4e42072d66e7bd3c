"""``ep.check``: a report held against limits, as one calls it from Python; imports no torch."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from edgeprune.errors import GateFailed, UsageError
from edgeprune.report import gates
from edgeprune.report.document import ReportDocument
from edgeprune.report.files import decode

if TYPE_CHECKING:
    from edgeprune.report.document import Gate


def check(report: Any, *fail_if: str) -> tuple[Gate, ...]:
    """Hold a report against limits.

        ep.check(report, "latency.ratio.high > 0.8", "accuracy.drop > 1%")

    Args:
        report: What ``compress`` gave, or the path of a report.json or of a run directory.
        *fail_if: Expressions that must not be true of it.

    Returns:
        The expressions with their figures; all have passed.

    Raises:
        GateFailed: An expression is true; names all that are.
        UsageError: An expression cannot be read, or is about a figure that the report has not.
    """
    document = getattr(report, "document", report)
    if isinstance(document, (str, os.PathLike)):
        document = decode(document)
    if not isinstance(document, ReportDocument):
        raise UsageError(f"report={report!r}: expected a report, or the path of one")
    judged = gates.judge(document, fail_if).gates
    failed = [gate.expression for gate in judged if not gate.passed]
    if failed:
        raise GateFailed(f"{len(failed)} of {len(judged)} gates failed: {'; '.join(failed)}")
    return judged
