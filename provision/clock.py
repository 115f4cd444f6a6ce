"""Time as a run sees it: passed in, so that tests and the simulator can let an hour go by in a second."""

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Everything that waits does it here. Who may wait is known too: threads are started here."""

    def now(self) -> float:
        """Seconds since 1970 in UTC. They never go back while the program runs, whoever sets the computer's clock."""

    def sleep(self, seconds: float) -> None:
        """Wait. Less than nothing is nothing."""

    def take(self, queue: SimpleQueue[T], seconds: float | None = None) -> T | None:
        """The next of a queue, as soon as there is one; None after `seconds`, if they are given."""

    def start(self, work: Callable[[], None]) -> None:
        """Do `work` in a thread that does not keep the program from ending. It waits for nothing but HTTP and this."""


class RealClock:
    """The computer's own time."""

    def __init__(self) -> None:
        self._began = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds since 1970 in UTC, steady from the first call on."""
        return self._began + time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(max(0.0, seconds))

    def take(self, queue: SimpleQueue[T], seconds: float | None = None) -> T | None:
        """The next of a queue, or None after `seconds`."""
        try:
            return queue.get(timeout=None if seconds is None else max(0.0, seconds))
        except Empty:
            return None

    def start(self, work: Callable[[], None]) -> None:
        """Do `work` in a daemon thread: Ctrl-C need not wait for calls that are under way."""
        Thread(target=work, daemon=True).start()


REAL = RealClock()
