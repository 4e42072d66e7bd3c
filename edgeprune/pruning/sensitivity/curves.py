"""Curves: each group at a few widths in turn, and what the whole network then misses.

Of several rankings of a group's channels, the one counts that loses least at the wider widths: that
is where most groups end up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprune.artifacts import KeptChannels, PruningPlan
from edgeprune.artifacts.sensitivity import SensitivityCurve
from edgeprune.pruning.ranking import highest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from edgeprune.artifacts import ChannelGroup, Progress, Side, TracedModel
    from edgeprune.pruning.pricing import Floats
    from edgeprune.pruning.sensitivity.repaired_network import RepairedNetwork

    Widths = Callable[[ChannelGroup], Floats]
    """The widths that a group may have, ascending."""

SHARES = (0.85, 0.5)
"""Each group is measured near these shares of its width, and at the narrowest that it may have."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """How the channels of groups are ranked.

    Attributes:
        criterion: Name of the criterion.
        scores: Scores of each group's channels, (C,); higher stays longer.
    """

    criterion: str
    scores: Mapping[str, Tensor]


def points(candidates: Floats, width: int) -> list[int]:
    """The widths below ``width`` that are measured, descending.

    Args:
        candidates: Widths that the group may have, ascending.
        width: Width that it has.
    """
    below = [int(each) for each in candidates if each < width]
    if not below:
        return []
    near = {min(below, key=lambda each: abs(each - share * width)) for share in SHARES}
    return sorted(near | {below[0]}, reverse=True)


@dataclass(frozen=True, slots=True)
class Curves:
    """Measures curves on a network.

    Attributes:
        traced: The network with its groups.
        network: What candidates are tried on.
        widths: The widths that a group may have.
        images: Number of images that errors are measured on.
        origin: Where these are from.
    """

    traced: TracedModel
    network: RepairedNetwork
    widths: Widths
    images: int
    origin: str

    def measured(
        self,
        rankings: Mapping[str, Sequence[Ranking]],
        base: Mapping[str, KeptChannels],
        progress: Progress | None = None,
    ) -> dict[str, SensitivityCurve]:
        """The curve of each group, by the best of its rankings.

        Args:
            rankings: Rankings of each prunable group, by name; at least one each.
            base: What is cut already, by group; errors count from there.
            progress: Callback for the share of groups that is done.

        Returns:
            Curves by group; their first width is that of ``base``.
        """
        start, lost = self.error_of(base) if base else 0.0, self._lost(base)
        consumers = sorted({layer for layer, side in lost if side == "in"})
        self.network.repair(consumers, lost)
        found = {}
        for place, group in enumerate(self.traced.prunable):
            found[group.name] = self._best(group, rankings[group.name], base, start)
            self.network.repair(_consumers(group), lost)
            if progress is not None:
                progress((place + 1) / len(self.traced.prunable), group.name)
        self.network.repair(consumers, {})
        return found

    def error_of(self, kept: Mapping[str, KeptChannels]) -> float:
        """What the network misses with several groups cut at once.

        Args:
            kept: What stays of the groups that lose channels, by group.
        """
        lost = self._lost(kept)
        layers = sorted({layer for layer, side in lost if side == "in"})
        self.network.repair(layers, lost)
        error = self.network.error(lost)
        self.network.repair(layers, {})
        return error

    def _best(
        self,
        group: ChannelGroup,
        rankings: Sequence[Ranking],
        base: Mapping[str, KeptChannels],
        start: float,
    ) -> SensitivityCurve:
        """The curve by the ranking that loses least at the wider widths."""
        width = len(base[group.name].kept) if group.name in base else group.width
        tried = points(self.widths(group), width)

        def errors(ranking: Ranking, widths: Sequence[int]) -> list[float]:
            found = (self._error(group, ranking, wide, base) - start for wide in widths)
            return [max(error, 0.0) for error in found]

        best, *others = rankings
        wider, narrowest = tried[:-1] or tried, tried[1:][-1:]
        least = errors(best, wider)
        for other in others if tried else ():
            if not all(_same(best, other, group, wide) for wide in wider):
                found = errors(other, wider)
                best, least = (other, found) if sum(found) < sum(least) else (best, least)
        least += errors(best, narrowest)
        return SensitivityCurve(group.name, best.criterion, (width, *tried), (0.0, *least))

    def _error(
        self, group: ChannelGroup, ranking: Ranking, width: int, base: Mapping[str, KeptChannels]
    ) -> float:
        kept = highest(ranking.scores[group.name], group, width)
        lost = self._lost({**base, group.name: KeptChannels(group.name, group.width, kept)})
        self.network.repair(_consumers(group), lost)
        return self.network.error(lost)

    def _lost(self, kept: Mapping[str, KeptChannels]) -> dict[tuple[str, Side], set[int]]:
        return self.traced.removed(PruningPlan(tuple(kept.values()), "", {}))


def _consumers(group: ChannelGroup) -> list[str]:
    return [member.layer for member in group.having("consumer")]


def _same(one: Ranking, other: Ranking, group: ChannelGroup, width: int) -> bool:
    """Whether two rankings keep the same channels."""
    a, b = (highest(each.scores[group.name], group, width) for each in (one, other))
    return a == b
