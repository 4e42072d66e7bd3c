"""What a run has for its recovery methods: images, time, a place for their state, a seed.

A method takes what it has a field for: ``source``, ``seconds``, ``workspace``, ``seed``.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgeprune.images.observed import ObservedSource

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgeprune.images.source import ImageSource
    from edgeprune.recovery.method import RecoveryMethod

IMAGINING = 0.5
"""Of the time of a method, what its source may take."""


def takes_images(method: RecoveryMethod) -> bool:
    """Whether a method fits to images: it then has a ``source`` of them."""
    return hasattr(method, "source")


def equipped(
    methods: Sequence[RecoveryMethod],
    *,
    images: ImageSource | None = None,
    synthesis: ImageSource | None = None,
    workspace: Path | None = None,
    seed: int = 0,
) -> tuple[RecoveryMethod, ...]:
    """Give methods what the run has for them.

    Args:
        methods: In the order of application.
        images: The user's own, for methods that would draw theirs.
        synthesis: Where such methods get theirs if the user has none; None: it is their choice.
        workspace: For the state of those that take long, a folder each; None: they keep none.
        seed: For methods that have none of their own.

    Returns:
        The same methods, some with other fields.
    """
    own = images or synthesis
    given: list[Any] = []
    for label, method in zip(labels(methods), methods, strict=True):
        changes: dict[str, Any] = {}
        source: Any = getattr(method, "source", None)
        if own is not None and source is not None and source.kind.synthetic:
            changes["source"] = source = own
        if workspace is not None and _lacks(source, "workspace"):
            # One folder for all: a set that two methods ask for is then made once.
            changes["source"] = replace(source, workspace=workspace / "images")
        if workspace is not None and _lacks(method, "workspace"):
            changes["workspace"] = workspace / label
        if _lacks(method, "seed"):
            changes["seed"] = seed
        given.append(replace(method, **changes) if changes else method)  # type: ignore[type-var]
    return tuple(given)


def labels(methods: Sequence[RecoveryMethod]) -> list[str]:
    """A name for each, that no other has and that is the same in the next run."""
    seen: Counter[str] = Counter()
    found = []
    for method in methods:
        name = type(method).__name__.lower()
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return found


class Clock:
    """Shares out the time that recovery may take.

    Args:
        methods: In the order of application.
        seconds: From now on; None for no limit.
    """

    def __init__(self, methods: Sequence[RecoveryMethod], seconds: float | None) -> None:
        self._waiting = sum(map(_is_timed, methods))
        self._end = math.inf if seconds is None else time.perf_counter() + seconds

    def share_of(self, method: RecoveryMethod) -> float:
        """Seconds for the next method, if it can be timed: as many as for those after it."""
        if math.isinf(self._end) or not _is_timed(method):
            return math.inf
        share = max(0.0, self._end - time.perf_counter()) / self._waiting
        self._waiting -= 1
        return share


def watched(
    method: RecoveryMethod, seconds: float, folder: Path | None, label: str
) -> RecoveryMethod:
    """A method within its time, whose images are judged, and kept if the original imagined them.

    Args:
        method: Any.
        seconds: What it may take; infinite for no limit.
        folder: Where images are kept; None: nowhere.
        label: Names them.
    """
    changes: dict[str, Any] = {}
    given: Any = method
    if math.isfinite(seconds) and hasattr(given, "seconds"):
        changes["seconds"] = seconds = min(given.seconds, seconds)
        seconds *= IMAGINING
    if takes_images(method):
        changes["source"] = ObservedSource(given.source, folder, label, seconds)
    looked_at: RecoveryMethod = replace(given, **changes) if changes else method
    return looked_at


def _lacks(holder: object, name: str) -> bool:
    """Whether there is such a field, and nothing in it."""
    return hasattr(holder, name) and getattr(holder, name) is None


def _is_timed(method: RecoveryMethod) -> bool:
    return hasattr(method, "seconds") or hasattr(getattr(method, "source", None), "seconds")
