"""A bounded number of threads that do what they are given, and are left behind when the run is interrupted."""

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeVar

from provision.clock import REAL, Clock

T = TypeVar("T")
Results = SimpleQueue[Callable[[], T]]  # each, when called, returns or raises what its task did


class Crew(Generic[T]):
    """`size` threads. They are daemons, unlike an executor's: Ctrl-C need not wait for calls that are under way."""

    def __init__(self, size: int, results: Results[T], clock: Clock = REAL) -> None:
        self._tasks: SimpleQueue[Callable[[], T]] = SimpleQueue()
        self._results, self._clock = results, clock
        self._left = size

    def begin(self, task: Callable[[], T]) -> None:
        """Do `task` as soon as a thread is free; what it returns goes to the results."""
        if self._left:  # not before: many crews are larger than what they get to do
            self._left -= 1
            self._clock.start(self._work)
        self._tasks.put(task)

    def _work(self) -> None:
        while True:
            future: Future[T] = Future()
            task = self._clock.take(self._tasks)
            if task is None:  # which never is: there is no end to the waiting
                return
            try:
                future.set_result(task())
            except Exception as exc:  # noqa: BLE001  # raised again by `next_result`, in the thread that asks
                future.set_exception(exc)
            self._results.put(future.result)


def next_result(results: Results[T], timeout: float | None = None, clock: Clock = REAL) -> T | None:
    """The next result, or None after `timeout` seconds. Raises what the task raised."""
    result = clock.take(results, timeout)
    return None if result is None else result()
