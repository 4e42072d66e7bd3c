"""Gates as JUnit XML, which every CI system shows as tests: one test case for each gate."""

from __future__ import annotations

import datetime
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as Xml

from edgeprune.errors import UsageError
from edgeprune.report import rows, sentences

if TYPE_CHECKING:
    from edgeprune.report.document import Gate, ReportDocument


def as_junit(report: ReportDocument) -> str:
    """A test suite with a case for each gate; a failed gate has the figures it found."""
    failed = sum(not gate.passed for gate in report.gates)
    counts = {"tests": str(len(report.gates)), "failures": str(failed), "errors": "0", "time": "0"}
    suites = Xml.Element("testsuites", counts)
    suite = Xml.SubElement(
        suites,
        "testsuite",
        {"name": _clean(rows.title(report)), **counts, "skipped": "0"},
        timestamp=_local(report.created),
        hostname="localhost",
    )
    properties = Xml.SubElement(suite, "properties")
    for name in ("cpu", "runtime", "device", "threads"):
        value = _clean(str(report.environment.get(name)))
        Xml.SubElement(properties, "property", name=name, value=value)
    for gate in report.gates:
        _case(suite, gate)
    Xml.indent(suites)
    return Xml.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: Xml.Element, gate: Gate) -> None:
    """One test case; its ``time`` is 0, as the report does not hold how long judging took."""
    case = Xml.SubElement(
        suite, "testcase", classname="edgeprune.gates", name=_clean(gate.expression), time="0"
    )
    if not gate.passed:
        found = sentences.values(gate)
        failure = Xml.SubElement(
            case, "failure", type="gate", message=f"true of this report: {found}"
        )
        failure.text = f"{_clean(gate.expression)}\n{found}"


def _local(created: str) -> str:
    """The time without its offset from UTC: the schema of JUnit allows none.

    Raises:
        UsageError: The report does not say when it was made.
    """
    try:
        with_offset = datetime.datetime.fromisoformat(created)
    except ValueError:
        raise UsageError(f"the report was created at {created!r}, which is no time") from None
    return with_offset.replace(tzinfo=None).isoformat(timespec="seconds")


def _clean(text: str) -> str:
    """Text without the characters that XML cannot hold, not even escaped."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
