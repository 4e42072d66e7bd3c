"""What a run hands to its recovery methods: images, time, a place for unfinished work, a seed.

A method reads what it needs of one frozen context; nothing is set in the method itself.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgeprune.errors import UsageError
from edgeprune.images.observed import ObservedSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from edgeprune.artifacts import Progress
    from edgeprune.images.source import ImageSource
    from edgeprune.recovery.method import RecoveryMethod

IMAGE_SHARE = 0.5
"""Share of a method's time that its images may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryContext:
    """What a run hands to a recovery method.

    Attributes:
        images: Image source taken in place of a method's own synthetic one: the user's images, or
            the synthesis asked for; None: each method uses its own.
        seed: Random seed of everything that a method draws.
        seconds: Time limit, from the call on; inf: none. A method that trains then takes as many
            steps as there is time for, and two runs no longer give the same weights.
        workspace: Folder for the state of unfinished work, from which the next run with the same
            settings goes on; None: nothing is kept.
        image_workspace: Folder for unfinished image synthesis. Methods share it: a set that two
            of them ask for is made once. None: nothing is kept.
        folder: Folder that synthesized images are saved to, with a contact sheet; None: they are
            not saved.
        name: Name of the method, part of the file name of a further set of images.
        progress: Callback for the share done, 0 to 1; None: nobody watches.
        score_images: Whether the original scores synthetic images, for the report.
        clock: Gives the time in seconds.
    """

    images: ImageSource | None = None
    seed: int = 0
    seconds: float = math.inf
    workspace: Path | None = None
    image_workspace: Path | None = None
    folder: Path | None = None
    name: str = ""
    progress: Progress | None = None
    score_images: bool = True
    clock: Callable[[], float] = time.perf_counter

    def source(self, own: ImageSource | None) -> ImageSource | None:
        """The image source of a method in this run, not yet opened.

        Args:
            own: The method's own source; None for methods that take no images.
        """
        return self.images if self.images and own and own.kind.synthetic else own

    def opened(self, own: ImageSource, *, timed: bool = False) -> ObservedSource:
        """The image source of a method, ready to make images within their time.

        Args:
            own: The method's own source.
            timed: Whether the method spends the rest of its time itself.
        """
        source: Any = self.source(own)
        if self.image_workspace is not None and _lacks_workspace(source):
            source = replace(source, workspace=self.image_workspace)
        seconds = self.seconds * IMAGE_SHARE if timed else self.seconds
        return ObservedSource(source, self.folder, self.name, seconds, score=self.score_images)

    def for_each(
        self, methods: Sequence[RecoveryMethod]
    ) -> Iterator[tuple[RecoveryMethod, RecoveryContext]]:
        """Pair every method with a context of its own.

        When its turn comes, a method that keeps to a time gets an equal share of what is left,
        among itself and those like it that follow; the others take what they need.

        Args:
            methods: Methods in the order of application.
        """
        end = self.clock() + self.seconds
        waiting = sum(map(self._is_timed, methods))
        for name, method in zip(labels(methods), methods, strict=True):
            seconds = math.inf
            if self._is_timed(method):
                seconds = max(0.0, end - self.clock()) / waiting
                waiting -= 1
            workspace = self.workspace and self.workspace / name
            images = self.workspace and self.workspace / "images"
            yield (
                method,
                replace(
                    self, seconds=seconds, workspace=workspace, image_workspace=images, name=name
                ),
            )

    def within(self, seconds: float, progress: Progress | None) -> RecoveryContext:
        """The context of a method that another one calls, on images that it was given.

        Args:
            seconds: Time limit of the method called.
            progress: Callback for the share of it that is done.
        """
        alone = replace(self, images=None, folder=None, image_workspace=None, score_images=False)
        return replace(alone, seconds=seconds, progress=progress)

    def _is_timed(self, method: RecoveryMethod) -> bool:
        return method.timed or hasattr(self.source(method.source), "seconds")


def require_methods(methods: Sequence[RecoveryMethod]) -> None:
    """Refuse what cannot be called as a recovery method.

    Raises:
        UsageError: Names its class, and what to derive it from.
    """
    for method in methods:
        if not (callable(method) and hasattr(method, "timed") and hasattr(method, "source")):
            raise UsageError(
                f"{type(method).__name__} is no recovery method: derive it from "
                "edgeprune.RecoveryMethod"
            )


def labels(methods: Sequence[RecoveryMethod]) -> list[str]:
    """Distinct names of the methods, the same in every run."""
    counts: Counter[str] = Counter()
    found = []
    for method in methods:
        name = type(method).__name__.lower()
        counts[name] += 1
        found.append(name if counts[name] == 1 else f"{name}-{counts[name]}")
    return found


def _lacks_workspace(source: object) -> bool:
    """Whether a source can keep unfinished sets, and was given no folder for them."""
    return hasattr(source, "workspace") and source.workspace is None
