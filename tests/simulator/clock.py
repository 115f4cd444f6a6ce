"""Time that passes only while everybody waits, so that an hour of a cloud takes as long as its computing does."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count, islice
from math import inf
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any, TypeVar

from provision.clock import REAL

T = TypeVar("T")
BEGIN = 1_795_800_000.0  # 2026-11-27T17:20:00Z


class StandstillError(Exception):
    """Everybody waits for somebody else: what is tested would hang for ever."""


class FastClock:
    """The computer's own time, but faster: for what several processes do together."""

    def __init__(self, speed: float = 60.0) -> None:
        self.speed, self._began = speed, monotonic()

    def now(self) -> float:
        """Seconds since 1970, from the same moment on in every run."""
        return BEGIN + (monotonic() - self._began) * self.speed

    def sleep(self, seconds: float) -> None:
        """Wait, not quite so long."""
        REAL.sleep(seconds / self.speed)

    def take(self, queue: SimpleQueue[T], seconds: float | None = None) -> T | None:
        """The next of a queue, or None after `seconds`."""
        return REAL.take(queue, None if seconds is None else seconds / self.speed)

    def start(self, work: Callable[[], None]) -> None:
        """Do `work` in a daemon thread."""
        REAL.start(work)


@dataclass(eq=False)
class _Waiter:
    """A thread that waits. `line` is that of its queue."""

    line: "_Line | None" = None
    woken: Event = field(default_factory=Event)
    stuck: bool = False


@dataclass(eq=False)
class _Line:
    """A queue, and who waits for something in it."""

    queue: SimpleQueue[Any]
    waiters: deque[_Waiter] = field(default_factory=deque)


class VirtualClock:
    """A clock (of provision/clock.py) that jumps to the next moment at which somebody has something to do.

    It counts the threads that are not waiting: the one that makes it, and those that `start` starts. A thread that
    waits for an answer over HTTP counts as busy; when the server that answers it sleeps on this clock, it sleeps in
    that thread's stead.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._now = BEGIN
        self._busy = 1
        self._ends: list[tuple[float, int, _Waiter]] = []  # a heap; those woken before their time stay in it
        self._lines: dict[int, _Line] = {}
        self._numbers = count()

    def now(self) -> float:
        """Seconds since 1970."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Wait, which takes no time."""
        if seconds > 0:
            self._wait(self._after(seconds))

    def take(self, queue: SimpleQueue[T], seconds: float | None = None) -> T | None:
        """The next of a queue, or None after `seconds`."""
        end = inf if seconds is None else self._after(seconds)
        while True:
            try:
                return queue.get_nowait()
            except Empty:
                if self._now >= end:
                    return None
            self._wait(end, queue)

    def _after(self, seconds: float) -> float:
        # A number as large as the seconds since 1970 does not change when a nanosecond is added to it: whoever waits
        # that long in a loop would do so for ever.
        return self._now + max(seconds, 1e-6) if seconds > 0 else self._now

    def start(self, work: Callable[[], None]) -> None:
        """Do `work` in a daemon thread that this clock counts."""
        with self._lock:
            self._busy += 1
        Thread(target=self._work, args=(work,), daemon=True).start()

    def _work(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            with self._lock:
                self._busy -= 1
                self._settle()

    def _wait(self, end: float, queue: SimpleQueue[Any] | None = None) -> None:
        with self._lock:
            waiter = _Waiter()
            if queue is not None:
                waiter.line = self._lines.setdefault(id(queue), _Line(queue))
                waiter.line.waiters.append(waiter)
            if end < inf:
                heappush(self._ends, (end, next(self._numbers), waiter))
            self._busy -= 1
            self._settle()
        waiter.woken.wait()
        if waiter.stuck:
            raise StandstillError("Everybody waits, and nobody for a time.")

    def _settle(self) -> None:
        """When nobody is busy any more: wake those who have something in their queues, or else those who are next."""
        if self._busy:
            return
        for line in self._lines.values():
            for waiter in [*islice(line.waiters, line.queue.qsize())]:
                self._wake(waiter)
        if not self._busy:
            self._pass_time()

    def _pass_time(self) -> None:
        while self._ends and (not self._busy or self._ends[0][0] <= self._now):
            end, _, waiter = heappop(self._ends)
            if not waiter.woken.is_set():
                self._now = max(self._now, end)
                self._wake(waiter)
        if not self._busy:
            for waiter in [waiter for line in self._lines.values() for waiter in line.waiters]:
                waiter.stuck = True
                self._wake(waiter)

    def _wake(self, waiter: _Waiter) -> None:
        if waiter.line:
            waiter.line.waiters.remove(waiter)
        self._busy += 1
        waiter.woken.set()
