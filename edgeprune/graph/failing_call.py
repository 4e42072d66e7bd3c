"""Which call of a network's forward fails, in words that its author knows.

PyTorch's own message speaks of sizes that a kernel saw; what the author wrote is a call, in the
forward of some module.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from edgeprune.errors import failing_as
from edgeprune.graph.running import in_words, running_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import nn


@contextmanager
def watching(
    network: nn.Module, failure: Callable[[str], Exception], what: str = ""
) -> Iterator[None]:
    """Run a network that was cut; whatever ends it becomes ``failure``.

    Args:
        network: The network that runs.
        failure: Makes the error from a message.
        what: What could not be done, to begin the message.
    """
    with running_layers(network) as running:
        calls = _Calls(running)

        def told(_: str) -> Exception:
            said = f"{calls.to_blame} does not fit fewer channels"
            return failure(f"{what}: {said}" if what else said)

        with failing_as(told), calls:
            yield


class _Calls(TorchFunctionMode):
    """Remembers the call that failed first, and the last that did not; each in whose forward."""

    def __init__(self, running: Sequence[str]) -> None:
        super().__init__()
        self.running = running
        self._failed: str | None = None
        self._last: tuple[Any, tuple[Any, ...], str] | None = None

    @property
    def to_blame(self) -> str:
        """The call that failed; or the one whose result Python could not go on with."""
        if self._failed is not None:
            return self._failed
        if self._last is None:
            return "the code of the network"
        func, args, layer = self._last
        return f"what follows {_call(func, args)} in {in_words(layer)}"

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        try:
            result = func(*args, **(kwargs or {}))
        except Exception:
            self._failed = self._failed or f"{_call(func, args)} in {in_words(self.running[-1])}"
            raise
        self._last = (func, args, self.running[-1])
        return result


def _call(func: Any, args: tuple[Any, ...]) -> str:
    """A call as it is written, sizes included: ``view(1, 320)``."""
    name = str(getattr(func, "__name__", func)).partition(".")[0]  # of an operator's overload
    name = name.strip("_").removesuffix("__get")
    sizes = [arg for arg in args[1:] if _is_size(arg)]
    written = ", ".join(str(list(size) if isinstance(size, tuple) else size) for size in sizes)
    given_tensors = any(isinstance(arg, Tensor) for arg in args[1:])
    return f"{name}({written})" if sizes and not given_tensors else name


def _is_size(value: object) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(each, int) for each in value)
    return isinstance(value, int) and not isinstance(value, bool)
