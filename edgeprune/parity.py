"""How close two networks' outputs are: largest difference and agreement of the largest channel.

Absolute differences mean nothing when outputs are 1e-12 or 1e6, and element-wise relative ones
blow up where the reference crosses zero. So the difference is taken relative to the largest
magnitude of the whole output, and what a user would act on, the winning class at every position,
is compared beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edgeprune.artifacts import Parity
from edgeprune.errors import VerificationFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Array: TypeAlias = npt.NDArray[Any]

TIE = 1e-4
"""Channels this close to the largest, relative to the output's scale, count as equally large."""


@dataclass(frozen=True, slots=True)
class Closeness:
    """How far candidates are from references.

    Attributes:
        max_abs_diff: Largest absolute difference, in the output's own units.
        max_rel_diff: The same relative to the largest magnitude of the reference over the whole
            set. Inf where anything is not finite, or differs from a reference of all zeros.
        argmax_agreement: Share of positions whose largest channel (axis 1) is the same, ties
            aside; 1 where there is one channel or no channel axis.
    """

    max_abs_diff: float = 0.0
    max_rel_diff: float = 0.0
    argmax_agreement: float = 1.0


class OutputComparison:
    """Compares one output over many inputs without keeping them.

    Args:
        name: Name of the output, for the error.
        tie: Channels this close to the largest, relative to the scale, count as equally large.
    """

    def __init__(self, name: str = "output", *, tie: float = TIE) -> None:
        self._name, self._tie = name, tie
        self._largest_diff = 0.0
        self._scale = 0.0
        self._agreeing = 0
        self._positions = 0

    def add(self, reference: Array, candidate: Array) -> None:
        """Take one more pair into account.

        Args:
            reference: What should have come out, any shape; channels on axis 1.
            candidate: What came out, the same shape.

        Raises:
            VerificationFailed: When the shapes differ.
        """
        if reference.shape != candidate.shape:
            raise VerificationFailed(
                f"output {self._name!r} has shape {candidate.shape} and not {reference.shape}"
            )
        wanted, got = reference.astype(np.float64), candidate.astype(np.float64)
        if wanted.size == 0:
            return
        finite = bool(np.isfinite(wanted).all() and np.isfinite(got).all())
        diff = float(np.abs(wanted - got).max()) if finite else np.inf
        scale = float(np.abs(wanted).max()) if finite else 0.0
        self._largest_diff = max(self._largest_diff, diff)
        self._scale = max(self._scale, scale)
        if wanted.ndim > 1 and wanted.shape[1] > 1:
            agrees = _same_winner(wanted, got, slack=self._tie * scale)
            self._agreeing += int(agrees.sum())
            self._positions += agrees.size

    def result(self) -> Closeness:
        """Closeness over all pairs so far."""
        agreement = self._agreeing / self._positions if self._positions else 1.0
        return Closeness(self._largest_diff, self._relative(), agreement)

    def _relative(self) -> float:
        if self._largest_diff == 0.0:
            return 0.0
        return self._largest_diff / self._scale if self._scale > 0.0 else np.inf


class NetworkComparison:
    """Compares all outputs of two networks over many inputs: the one fold of parity.

    Args:
        tie: Channels this close to the largest, relative to the scale, count as equally large.
    """

    def __init__(self, *, tie: float = TIE) -> None:
        self._tie = tie
        self._outputs: dict[str, OutputComparison] = {}
        self._batches: list[int] = []

    @property
    def n(self) -> int:
        """Number of inputs so far."""
        return sum(self._batches)

    def add(
        self, references: Mapping[str, Array], candidates: Sequence[Array], *, batch: int = 1
    ) -> None:
        """Take the outputs for one more batch of inputs into account.

        Args:
            references: What should have come out, by name of the output.
            candidates: What came out, in the same order.
            batch: Number of inputs that they are for.

        Raises:
            VerificationFailed: When shapes differ.
        """
        for (name, reference), candidate in zip(references.items(), candidates, strict=True):
            output = self._outputs.setdefault(name, OutputComparison(name, tie=self._tie))
            output.add(reference, candidate)
        self._batches.append(batch)

    def by_output(self) -> dict[str, Closeness]:
        """Closeness of each output over all inputs so far."""
        return {name: each.result() for name, each in self._outputs.items()}

    def result(self) -> Parity:
        """The worst of all outputs, figure by figure."""
        found = self.by_output().values()
        return Parity(
            max_abs_diff=max(each.max_abs_diff for each in found),
            max_rel_diff=max(each.max_rel_diff for each in found),
            argmax_agreement=min(each.argmax_agreement for each in found),
            n=self.n,
            batch_sizes=tuple(sorted(set(self._batches))),
        )


def compare(reference: Array, candidate: Array) -> Closeness:
    """Closeness of one pair of outputs; see ``OutputComparison``."""
    comparison = OutputComparison()
    comparison.add(reference, candidate)
    return comparison.result()


def _same_winner(wanted: Array, got: Array, *, slack: float) -> Array:
    """Whether the candidate's largest channel is (nearly) as large in the reference.

    Args:
        wanted: Reference, (N, C, …).
        got: Candidate, (N, C, …).
        slack: How far below the largest still counts, in the output's own units.

    Returns:
        One truth value for each position, (N, 1, …); False where a channel is not finite.
    """
    winner = got.argmax(axis=1, keepdims=True)
    chosen = np.take_along_axis(wanted, winner, axis=1)
    usable = np.isfinite(wanted).all(axis=1, keepdims=True)
    usable &= np.isfinite(got).all(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        agrees: npt.NDArray[np.bool_] = chosen >= wanted.max(axis=1, keepdims=True) - slack
    return usable & agrees
