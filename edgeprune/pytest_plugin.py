"""Fixtures of pytest: ``edgeprune_check`` holds a model to limits in a test of the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def edgeprune_check() -> Callable[..., object]:
    """Hold a report to limits; one that is broken fails the test.

    It is called as ``ep.check`` is: ``edgeprune_check("runs/mine", "latency.ratio.high > 0.8")``.
    """
    from edgeprune.errors import GateFailed
    from edgeprune.pipeline.check_call import check

    def judged(report: object, *fail_if: str) -> object:
        try:
            return check(report, *fail_if)
        except GateFailed as error:
            pytest.fail(str(error), pytrace=False)

    return judged
