"""A limit on the CPU time of work that may never end, in any thread and on any system.

CPU time, because wall time says nothing of the work: on a busy machine it passes without any.
"""

from __future__ import annotations

import ctypes
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from edgeprune.errors import ModelUnsupported, Unstoppable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Clock: TypeAlias = "Callable[[], float]"
"""Gives the CPU seconds that some thread has used; called from another one."""

PAUSE_S = 1.0
"""The clock is looked at no more often than this, but for short limits."""


@contextmanager
def cpu_limit(
    seconds: float, reason: Callable[[], str], clock: Clock | None = None
) -> Iterator[None]:
    """Interrupt this thread, between two bytecodes, when the block has used its CPU time.

    Unlike SIGALRM this works in any thread and on any system. It insists, because a
    network's code may swallow an exception of any kind.

    Args:
        seconds: CPU seconds that the block may take.
        reason: Called when they are over; says what took them.
        clock: CPU time used so far; None: that of this thread, or of the whole process where the
            system does not tell threads apart.

    Raises:
        ModelUnsupported: When time is up.
    """
    used = clock or _of_this_thread()
    end = used() + seconds
    over = threading.Event()
    thread = ctypes.c_ulong(threading.get_ident())

    def insist() -> None:
        while not over.wait(min(seconds, PAUSE_S)):
            if used() >= end:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(_TooSlow))

    watch = threading.Thread(target=insist, daemon=True)
    watch.start()
    try:
        yield
    except _TooSlow:
        raise ModelUnsupported(reason()) from None
    finally:
        over.set()
        watch.join()
        ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, None)


def _of_this_thread() -> Clock:
    """CPU time of the thread that asks, readable from any other."""
    clock_of = getattr(time, "pthread_getcpuclockid", None)
    if clock_of is None:
        return time.process_time
    number = clock_of(threading.get_ident())
    return lambda: time.clock_gettime(number)


class _TooSlow(Unstoppable):
    """The time is over."""
