"""Whether heat or the frequency governor moved the clock of the machine while it measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Clock: TypeAlias = "Mapping[str, Any] | None"
"""The answer of ``clock`` in ``worker/machine.py``; None from a worker that gives none."""

NEAR_C = 5.0
"""Degrees below the trip point that count as near."""

FELL = 0.10
"""Loss of frequency during a session, as a fraction, that counts as throttling."""


def notes(sessions: Sequence[tuple[Clock, Clock]], environment: Mapping[str, Any]) -> Iterator[str]:
    """Warnings about the clock.

    Args:
        sessions: The clock at the start and at the end of each session.
        environment: Environment of the measurement; governor is read.
    """
    clocks = [clock for session in sessions for clock in session if clock]
    margins = [clock["margin_c"] for clock in clocks if clock["margin_c"] is not None]
    if margins and min(margins) <= NEAR_C:
        yield (
            f"the machine was {min(margins):.0f} degrees from where heat slows it down: "
            "cool it, or let it rest between runs"
        )
    falls = [fall for start, end in sessions if (fall := _fall(start, end)) > FELL]
    if falls:
        yield (
            f"the clock fell by {max(falls):.0%} during {len(falls)} of {len(sessions)} sessions: "
            "fix the frequency, or cool the machine"
        )
    governor = environment.get("governor")
    if governor not in (None, "performance"):
        yield (
            f"the frequency governor is {governor}, which changes the clock: "
            "`cpupower frequency-set -g performance` holds it"
        )


def _fall(start: Clock, end: Clock) -> float:
    """Loss of frequency, as a fraction; 0 where it is not known."""
    before, after = (clock and clock["hz"] for clock in (start, end))
    return 1 - after / before if before and after else 0.0
