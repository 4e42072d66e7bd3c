"""Room for networks whose modules are nested hundreds of levels deep.

PyTorch walks a nested network by recursion: forward, copies, names, export. Python's stack ends at
about a hundred levels. Such a network, and no other, gets a thread with a stack of its own, deep
enough for as many levels as are let through; one that is nested deeper is refused by name, before
the stack could overflow.
"""

from __future__ import annotations

import contextvars
import ctypes
import sys
import threading
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import torch
from torch import nn

from edgeprune.errors import ModelUnsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

ORDINARY = 60
"""Levels of nesting for which Python's own stack has room in every stage."""

DEEPEST = 1000
"""Levels of nesting beyond which a network is refused."""

FRAMES_PER_LEVEL = 30
"""Python frames that the deepest recursion, torch's exporter, needs for one level of nesting."""

STACK_BYTES = 1 << 29
"""Stack of the thread: address space, of which the system gives what is used."""

_HERE = threading.local()


def with_room(stage: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Let a stage run on networks that are nested more deeply than Python's stack has room for.

    Args:
        stage: A function of a network, or of something that holds one.

    Returns:
        The same function; it raises ModelUnsupported for a network that is nested too deeply.
    """

    @wraps(stage)
    def roomy(*args: Arguments.args, **keywords: Arguments.kwargs) -> Result:
        deepest = max(map(nesting, _networks((*args, *keywords.values()))), default=0)
        if deepest <= ORDINARY or getattr(_HERE, "deep", False):
            return stage(*args, **keywords)
        if deepest > DEEPEST:
            raise ModelUnsupported(
                f"the network's modules are nested {deepest} levels deep, and at most {DEEPEST} "
                "are supported: put its layers into fewer containers"
            )
        return _in_deep_thread(lambda: stage(*args, **keywords))

    return roomy


def nesting(network: nn.Module) -> int:
    """How many modules stand inside each other; one that contains itself counts once."""
    levels: dict[int, int] = {}
    inside = {id(network)}
    stack = [(network, iter(network._modules.values()))]
    while stack:
        module, waiting = stack[-1]
        child = next((c for c in waiting if c is not None and id(c) not in inside), None)
        if child is not None:
            inside.add(id(child))
            stack.append((child, iter(child._modules.values())))
        else:
            stack.pop()
            below = (levels.get(id(c), 0) for c in module._modules.values())
            levels[id(module)] = 1 + max(below, default=0)
    return levels[id(network)]


def _networks(values: tuple[object, ...]) -> Iterator[nn.Module]:
    """The networks among the arguments of a stage, or in the artifacts among them."""
    for value in values:
        artifact: Any = getattr(value, "source", value)
        network = artifact if isinstance(artifact, nn.Module) else getattr(artifact, "module", None)
        if isinstance(network, nn.Module):
            yield network


def _in_deep_thread(work: Callable[[], Result]) -> Result:
    """Run ``work`` in a thread with a deep stack, as if it ran here: settings, errors, Ctrl-C."""
    done: list[Result] = []
    failed: list[BaseException] = []
    context, gradients = contextvars.copy_context(), torch.is_grad_enabled()

    def run() -> None:
        _HERE.deep = True
        try:
            with torch.set_grad_enabled(gradients):
                done.append(context.run(work))
        except BaseException as error:  # raised again where the caller waits
            failed.append(error)

    before, limit = threading.stack_size(STACK_BYTES), sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, DEEPEST * FRAMES_PER_LEVEL))
    try:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        _wait_for(thread)
    finally:
        threading.stack_size(before)
        sys.setrecursionlimit(limit)
    if failed:
        raise failed[0]
    return done[0]


def _wait_for(thread: threading.Thread) -> None:
    """Wait, and hand on what interrupts the wait: Ctrl-C or a time limit."""
    while thread.is_alive():
        try:
            thread.join()
        except BaseException as interrupt:  # noqa: PERF203 - for the work, which ends with it
            number = ctypes.c_ulong(thread.ident or 0)
            kind = ctypes.py_object(type(interrupt))
            ctypes.pythonapi.PyThreadState_SetAsyncExc(number, kind)
