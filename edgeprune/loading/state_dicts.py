"""Weights alone: found in a checkpoint, and fitted into a network that was built for them.

Checkpoints wrap weights in a dictionary, and wrappers (DataParallel, Lightning, torch.compile,
averaged models) put a prefix before every name. Prefixes are taken off only where that makes the
names fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from edgeprune.errors import ModelRefused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRAPPERS = (
    *("state_dict", "model", "model_state_dict", "module", "net", "network", "params", "weights"),
    *("ema", "model_ema", "ema_state_dict", "state_dict_ema", "params_ema"),
)
"""Keys of a checkpoint that may hold weights or a network; the first that does wins."""

PREFIXES = ("module.", "model.", "_orig_mod.", "net.", "network.", "ema.")
DEEPEST = 3  # wrappers in wrappers
SHOWN = 3  # names in an error


def contents(loaded: object, path: Path) -> nn.Module | Mapping[str, object]:
    """The network, or the weights, in a loaded object.

    Raises:
        ModelRefused: The object holds neither.
    """
    found = _unwrap(loaded, DEEPEST)
    if found is not None:
        return found
    if isinstance(loaded, Mapping):
        keys = ", ".join(repr(key) for key in list(loaded)[:SHOWN])
        what = f"a dictionary with {keys} …" if loaded else "an empty dictionary"
    else:
        what = f"a {type(loaded).__name__}"
    raise ModelRefused(f"'{path}' holds {what}, but neither a network nor its weights")


def tensors_of(path: Path) -> Mapping[str, object]:
    """The weights in a .safetensors file.

    Raises:
        ModelRefused: The file is damaged or empty.
    """
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelRefused(f"'{path}' is not a readable .safetensors file: {error}") from error
    return contents(weights, path)  # type: ignore[return-value]


def fill(network: nn.Module, weights: Mapping[str, object], file: str, arch: str) -> nn.Module:
    """Put weights into a network, in its own precision.

    Args:
        network: Network that is filled in place.
        weights: Weights by name, perhaps with prefixes and in another precision.
        file: Name of the source of the weights, for an error.
        arch: Name of the network, for an error.

    Returns:
        The network.

    Raises:
        ModelRefused: The weights do not fit; the message names the first few differences.
    """
    wanted = {k: t for k, t in network.state_dict().items() if isinstance(t, Tensor)}
    given = {k: t for k, t in weights.items() if isinstance(t, Tensor)}
    candidates = list(_without_prefixes(given, DEEPEST))
    best = min(candidates, key=lambda candidate: _Misfits.between(candidate, wanted).count)
    misfits = _Misfits.between(best, wanted)
    if misfits.count:
        raise ModelRefused(f"{file} does not fit {arch}: {misfits}")
    network.load_state_dict(best, strict=False)
    return network


def _unwrap(loaded: object, depth: int) -> nn.Module | Mapping[str, object] | None:
    if isinstance(loaded, nn.Module):
        return loaded
    if not isinstance(loaded, Mapping) or depth == 0:
        return None
    if _is_state_dict(loaded):
        return loaded
    under = (_unwrap(loaded[key], depth - 1) for key in WRAPPERS if key in loaded)
    return next((found for found in under if found is not None), None)


def _is_state_dict(loaded: Mapping[object, object]) -> bool:
    tensors = sum(isinstance(value, Tensor) for value in loaded.values())
    others = [key for key, value in loaded.items() if not isinstance(value, Tensor)]
    return tensors > 0 and all(str(key).endswith("_extra_state") for key in others)


def _without_prefixes(weights: dict[str, Tensor], depth: int) -> Iterator[dict[str, Tensor]]:
    yield weights
    for prefix in PREFIXES if depth else ():
        # What lies beside the prefix is the wrapper's own: counters, metrics, a loss.
        inner = {k.removeprefix(prefix): t for k, t in weights.items() if k.startswith(prefix)}
        if inner:
            yield from _without_prefixes(inner, depth - 1)


@dataclass(frozen=True, slots=True)
class _Misfits:
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshaped: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    @classmethod
    def between(cls, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> _Misfits:
        # Files older than torch 0.4.1 lack the counter, which inference does not read.
        missing = (k for k in wanted if k not in given and not k.endswith("num_batches_tracked"))
        both = ((k, tuple(given[k].shape), tuple(t.shape)) for k, t in wanted.items() if k in given)
        return cls(
            tuple(missing),
            tuple(k for k in given if k not in wanted),
            tuple(misfit for misfit in both if misfit[1] != misfit[2]),
        )

    @property
    def count(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.misshaped)

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
        return "; ".join(misfits) + self._hint()

    def _hint(self) -> str:
        rows = {(have[:1], want[:1]) for _, have, want in self.misshaped}
        if len(rows) == 1 and not self.missing and not self.unexpected:
            ((have, _),) = rows
            if have and all(h[1:] == w[1:] for _, h, w in self.misshaped):
                return f"; perhaps --arch-arg num_classes={have[0]}"
        if self.count > SHOWN * 10:
            return "; is it another architecture?"
        return ""
