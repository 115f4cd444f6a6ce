"""A cloud as a queue, and a client that asks it for stacks by a fixed window or by core/pacing.py. Time is computed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from math import inf
from random import Random

from provision.core.pacing import (
    Asked,
    Pace,
    ask,
    look_again,
    start_pace,
    wait_to_ask,
    was_refused,
    was_taken,
    went_badly,
    went_well,
)

POLL = 5.0  # seconds between two looks at what is complete, of a client with a fixed window
TOO_LONG = 2500.0
SPAN = 10.0  # seconds over which a cloud counts its load


@dataclass(frozen=True)
class Shape:
    """A cloud's nature: stacks a second, seconds that one takes if none is before it, and what too many do.

    `knee`: from there to `collapse` creates a second the answer takes up to 10 s longer, then all are refused.
    `breaks`: above so many creates a second, all are taken, and fail. `crowded`: with more than so many at once it does
    the less the more there are. `spread`: the share by which some take longer than others.
    """

    capacity: Callable[[float], float]
    takes: float
    knee: float = inf
    collapse: float = inf
    breaks: float = inf
    crowded: float = inf
    spread: float = 0.0


@dataclass
class Cloud:
    """One of a shape, as it is asked."""

    shape: Shape
    dice: Random = field(default_factory=lambda: Random(1))  # noqa: S311
    asked: list[float] = field(default_factory=list)
    making: list[float] = field(default_factory=list)
    free: float = 0.0

    def create(self, now: float) -> tuple[float, float | None, bool]:
        """When the answer comes, when the stack is done (None: refused), and whether it is good."""
        self.asked = [*(time for time in self.asked if time > now - SPAN), now]
        self.making = [end for end in self.making if end > now]
        shape, rate = self.shape, len(self.asked) / SPAN
        if rate >= shape.collapse:
            return now + 10, None, False
        answered = now + 0.3 + (10 * (rate - shape.knee) / (shape.collapse - shape.knee) if rate > shape.knee else 0)
        speed = shape.capacity(max(now, self.free)) * min(1.0, shape.crowded / max(1, len(self.making)))
        self.free = max(answered, self.free) + 1 / speed
        done = self.free + shape.takes * (1 + shape.spread * self.dice.random())
        heappush(self.making, done)
        return answered, done, rate <= shape.breaks


@dataclass
class Client:
    """Who launches: by `pace`, or with `window` stacks open at once and a second's pause after a refusal."""

    pace: Pace | None = None
    window: int = 0
    paused: float = 0.0
    dice: Random = field(default_factory=lambda: Random(3))  # noqa: S311

    def wait(self, now: float, running: int) -> float:
        if self.pace:
            return wait_to_ask(self.pace, now, running)
        return max(0.0, self.paused - now) if running < self.window else inf

    def ask(self, now: float) -> Asked:
        if not self.pace:
            return Asked(now, 0, paced=True)
        self.pace, asked = ask(self.pace, now)
        return asked

    def answered(self, asked: Asked, now: float, *, taken: bool) -> None:
        if self.pace:
            refused = was_refused(self.pace, asked, now, None, self.dice.random())
            self.pace = was_taken(self.pace) if taken else refused
        elif not taken:
            self.paused = now + 1 + self.dice.random()

    def look_again(self, waiting: int, now: float) -> float:
        if not self.pace:
            return POLL
        self.pace = look_again(self.pace, waiting, 1000, now)
        return self.pace.look

    def seen(self, asked: Asked, now: float, *, good: bool) -> None:
        if self.pace:
            self.pace = (went_well if good else went_badly)(self.pace, asked, now)


@dataclass
class Launch:
    """How it went: seconds until all were there, calls, and those that failed."""

    seconds: float = 0.0
    creates: int = 0
    failed: int = 0
    looks: int = 0


def launch(shape: Shape, students: int, client: Client) -> Launch:
    """Ask until every student has a good stack."""
    cloud, run, left, ready, now = Cloud(shape), Launch(), students, 0, 0.0
    events: list[tuple[float, int, Asked | None, float | None, bool]] = [(POLL, 0, None, None, False)]
    making: list[tuple[float, int, Asked, bool]] = []
    number = count(1)
    running = 0
    while ready < students and now < TOO_LONG:
        wait = client.wait(now, running) if left else inf
        if now + wait < events[0][0]:
            now += wait
            asked = client.ask(now)
            left, running, run.creates = left - 1, running + 1, run.creates + 1
            answered, done, good = cloud.create(now)
            heappush(events, (answered, next(number), asked, done, good))
            continue
        now, _, known, done, good = heappop(events)
        if known:  # an answer
            client.answered(known, now, taken=done is not None)
            if done is None:
                left, running = left + 1, running - 1
            else:
                heappush(making, (done, next(number), known, good))
            continue
        while making and making[0][0] <= now:  # a look
            _, _, asked, good = heappop(making)
            client.seen(asked, now, good=good)
            running, ready, left, run.failed = running - 1, ready + good, left + (not good), run.failed + (not good)
        heappush(events, (now + client.look_again(left, now), next(number), None, None, False))
        run.looks += 1
    run.seconds = now if ready == students else inf
    return run


def by_pace(shape: Shape, students: int) -> Launch:
    return launch(shape, students, Client(pace=start_pace(0.0)))


def by_window(shape: Shape, students: int, window: int) -> Launch:
    return launch(shape, students, Client(window=window))
