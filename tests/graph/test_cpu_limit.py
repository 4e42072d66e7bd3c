"""A limit on CPU time: idle time is free, work is stopped, nothing is left behind."""

import threading
import time

import pytest

from edgeprune.errors import ModelUnsupported
from edgeprune.graph.cpu_limit import cpu_limit


class FakeClock:
    """CPU seconds that a test sets, and how often they were read."""

    def __init__(self):
        self.seconds, self.reads = 0.0, 0
        self.was_read = threading.Event()

    def __call__(self):
        self.reads += 1
        if self.reads > 1:  # the first reading is the start
            self.was_read.set()
        return self.seconds


def work_until_stopped(clock, seconds):
    clock.seconds = seconds
    while True:
        time.sleep(0.001)


def test_time_that_passes_without_work_does_not_count():
    clock = FakeClock()
    with cpu_limit(0.01, lambda: "never", clock):
        assert clock.was_read.wait(60)  # long after the limit, by the clock on the wall


def test_work_is_stopped_when_it_has_used_its_time_and_the_reason_given():
    clock = FakeClock()
    limit = cpu_limit(0.01, lambda: "17 layers were too many", clock)
    with pytest.raises(ModelUnsupported, match=r"^17 layers were too many$"), limit:
        work_until_stopped(clock, seconds=1.0)


def test_what_swallows_exceptions_is_stopped_all_the_same():
    clock = FakeClock()
    swallowed = []

    def stubborn():
        try:
            work_until_stopped(clock, seconds=1.0)
        except BaseException as error:  # as a network's code may
            swallowed.append(error)
        work_until_stopped(clock, seconds=1.0)

    with pytest.raises(ModelUnsupported), cpu_limit(0.01, lambda: "stopped", clock):
        stubborn()
    assert swallowed


def test_only_the_thread_that_asked_is_stopped():
    clock, done = FakeClock(), []
    bystander = threading.Thread(target=lambda: (clock.was_read.wait(60), done.append(True)))
    bystander.start()
    with pytest.raises(ModelUnsupported), cpu_limit(0.01, lambda: "stopped", clock):
        work_until_stopped(clock, seconds=1.0)
    bystander.join(60)
    assert done


def test_a_limit_that_is_kept_leaves_no_thread_and_no_exception_behind():
    clock, before = FakeClock(), threading.active_count()
    with cpu_limit(0.01, lambda: "never", clock):
        pass
    assert threading.active_count() == before
    clock.seconds = 1.0
    time.sleep(0.05)
