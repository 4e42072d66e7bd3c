"""Weights alone, fitted into a network that was built for them.

Names are read as they stand, or without the prefixes and words of wrappers where only that makes
them fit (``state_dict_names.py``). Whether they fit is for the network's own ``load_state_dict`` to
say, so names that it translates (weight_norm's older ones, FrozenBatchNorm2d's) are no misfits.
Nor is the second name of a tensor that the network holds once, nor what inference has no use for
(``extra_tensors.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from edgeprune import tensor_file
from edgeprune.errors import ModelRefused, UsageError
from edgeprune.loading.checkpoint_entries import is_averaged, is_state_dict, of_averages
from edgeprune.loading.extra_tensors import can_be_left, is_counter
from edgeprune.loading.state_dict_names import renamings, renamings_under

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from edgeprune.loading.state_dict_names import Renaming

SHOWN = 3  # names in an error


def tensors_of(path: Path) -> Mapping[str, object]:
    """The weights in a .safetensors file, shared tensors under all their names.

    Raises:
        ModelRefused: The file is damaged or empty.
    """
    texts = tensor_file.texts_of(path)
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelRefused(f"'{path}' is not a readable .safetensors file: {error}") from error
    if not is_state_dict(weights):
        raise ModelRefused(f"'{path}' holds no weights")
    # save_model writes a shared tensor once, and its other names into the header.
    shared = {name: weights[kept] for name, kept in texts.items() if kept in weights}
    return {**shared, **weights}


def fill(
    network: nn.Module,
    weights: Mapping[str, object],
    file: str,
    arch: str,
    entry: str | None = None,
) -> tuple[str, ...]:
    """Put weights into a network, in its own precision.

    Args:
        network: Network that is filled in place.
        weights: Weights by name, perhaps with prefixes and in another precision.
        file: Name of the source of the weights, for messages.
        arch: Name of the network, for messages.
        entry: Prefix that the user asked for; None: the one that fits.

    Returns:
        What the user should know: the prefix that was taken, the tensors that were left out.

    Raises:
        ModelRefused: The weights do not fit; the message names the first few differences.
        UsageError: They fit under several prefixes.
    """
    given = {name: each for name, each in weights.items() if isinstance(each, Tensor)}
    wanted = {k: t for k, t in network.state_dict().items() if isinstance(t, Tensor)}
    readings = renamings(given, wanted) if entry is None else renamings_under(entry, given, wanted)
    if not readings:
        raise UsageError(f"{file} has no entry or prefix '{entry}'")
    tried = _all_tried(network, given, wanted, readings)
    fitting = [each for each in tried if each.fits]
    if not fitting:
        misfits = min((each.misfits for each in tried), key=lambda each: each.count)
        raise ModelRefused(f"{file} does not fit {arch}: {misfits}")
    best = _only(fitting, file)
    if best is not tried[-1]:
        network.load_state_dict(best.how.applied(given), strict=False)
    return tuple(_notes(best, fitting, file, arch))


@dataclass(frozen=True, slots=True)
class _Trial:
    """What a network says to weights under one reading of their names."""

    how: Renaming
    misfits: _Misfits
    left: tuple[str, ...]

    @property
    def fits(self) -> bool:
        return not self.misfits.count


def _only(fitting: Sequence[_Trial], file: str) -> _Trial:
    first = fitting[0]
    if first.how.prefix and not is_averaged(first.how.prefix):
        prefixes = list(dict.fromkeys(each.how.prefix.rstrip(".") for each in fitting))
        if len(prefixes) > 1:
            names = " and ".join(f"'{prefix}'" for prefix in prefixes[:SHOWN])
            raise UsageError(f"{file} fits under {names}: choose one with --entry")
    return first


def _notes(best: _Trial, fitting: Sequence[_Trial], file: str, arch: str) -> list[str]:
    notes = []
    if is_averaged(best.how.prefix):
        prefixes = [each.how.prefix.rstrip(".") for each in (best, *fitting)]
        notes.append(of_averages(*prefixes))
    left = [name for name in best.left if not is_counter(name)]
    if left:
        more = " …" if left[SHOWN:] else ""
        notes.append(
            f"{len(left)} tensors of {file} that {arch} has no place for are left out: "
            f"{', '.join(left[:SHOWN])}{more}"
        )
    return notes


def _all_tried(
    network: nn.Module,
    given: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    readings: Sequence[Renaming],
) -> list[_Trial]:
    """One trial for each reading; the network keeps the weights of the last.

    Where names fit without a prefix there is nothing more to choose, and the rest is not tried.
    """
    aliases, trials = _aliases(network), []
    for how in readings:
        trials.append(_tried(network, how.applied(given), wanted, aliases, how))
        if trials[-1].fits and not how.prefix:
            break
    return trials


def _tried(
    network: nn.Module,
    renamed: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    aliases: Mapping[str, set[str]],
    how: Renaming,
) -> _Trial:
    try:
        answer = network.load_state_dict(renamed, strict=False)
    except Exception as error:  # shapes that differ, or whatever a network's own hooks raise
        misfits = _Misfits.between(renamed, wanted)
        return _Trial(how, misfits if misfits.count else _Misfits((), (), (), _first(error)), ())
    missing, unexpected = _found_by(answer, renamed, wanted)
    left = tuple(name for name in unexpected if can_be_left(name, network))
    lost = tuple(
        name
        for name in missing
        if not is_counter(name) and aliases.get(name, set()).isdisjoint(renamed)
    )
    odd = unexpected if lost else tuple(name for name in unexpected if name not in left)
    return _Trial(how, _Misfits(lost, odd, ()), (*how.left, *left))


def _found_by(
    answer: object, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Missing and unexpected names; a network whose own method does not tell is asked by name."""
    missing = getattr(answer, "missing_keys", [name for name in wanted if name not in given])
    unexpected = getattr(answer, "unexpected_keys", [name for name in given if name not in wanted])
    return tuple(missing), tuple(unexpected)


def _aliases(network: nn.Module) -> dict[str, set[str]]:
    """All names of the tensor that a name stands for, by name."""
    names: dict[int, set[str]] = {}
    tensors = network.state_dict(keep_vars=True)
    for name, tensor in tensors.items():
        names.setdefault(id(tensor), set()).add(name)
    return {name: names[id(tensor)] for name, tensor in tensors.items()}


def _first(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


@dataclass(frozen=True, slots=True)
class _Misfits:
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshaped: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    error: str = ""

    @classmethod
    def between(cls, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> _Misfits:
        # Files older than torch 0.4.1 lack the counters.
        missing = (k for k in wanted if k not in given and not is_counter(k))
        both = ((k, tuple(given[k].shape), tuple(t.shape)) for k, t in wanted.items() if k in given)
        return cls(
            tuple(missing),
            tuple(k for k in given if k not in wanted),
            tuple(misfit for misfit in both if misfit[1] != misfit[2]),
        )

    @property
    def count(self) -> int:
        found = len(self.missing) + len(self.unexpected) + len(self.misshaped)
        return found or int(bool(self.error))

    def __str__(self) -> str:
        shapes = [f"{k} ({have} in the file, not {want})" for k, have, want in self.misshaped]
        misfits = [
            f"{len(names)} {kind}: {', '.join(names[:SHOWN])}" + (" …" if names[SHOWN:] else "")
            for kind, names in (
                ("missing", self.missing),
                ("unexpected", self.unexpected),
                ("of another shape", tuple(shapes)),
            )
            if names
        ]
        return ("; ".join(misfits) or self.error) + self._hint()

    def _hint(self) -> str:
        rows = {(have[:1], want[:1]) for _, have, want in self.misshaped}
        if len(rows) == 1 and not self.missing and not self.unexpected:
            ((have, _),) = rows
            if have and all(h[1:] == w[1:] for _, h, w in self.misshaped):
                return f"; perhaps --arch-arg num_classes={have[0]}"
        if self.count > SHOWN * 10:
            return "; is it another architecture?"
        return ""
