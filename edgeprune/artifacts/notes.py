"""What a stage has to say, as data: reports make the sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Note:
    """A finding.

    Attributes:
        kind: What was found; a row of ``findings.py``, or "text" with the sentence itself
            as the value of that name.
        values: Its figures and names: numbers in SI units, strings, and tuples or dicts of them.
    """

    kind: str
    values: dict[str, Any] = field(default_factory=dict)
