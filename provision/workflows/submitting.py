"""The creates of a launch: they wait in order, and are asked for no faster than the cloud bears."""

import random
from collections import deque
from dataclasses import dataclass, field
from math import inf

from provision.core import pacing
from provision.core.pacing import Asked, Pace
from provision.errors import BusyError, ProvisionError

SUBMITTERS = 24  # threads: an answer may take ten seconds when the cloud is strained


@dataclass
class Line:
    """Who waits, in order, and what was asked for each whose stack is not complete yet; `calls` are under way."""

    pace: Pace
    waiting: deque[str] = field(default_factory=deque)
    open: dict[str, Asked] = field(default_factory=dict)
    calls: int = 0


def new_line(now: float) -> Line:
    """Nobody waits yet, and nothing is known of the cloud."""
    return Line(pacing.start_pace(now))


def wait_for_next(line: Line, now: float) -> float:
    """Seconds until the next may be asked for; inf where nobody waits, or something must come back first."""
    if not line.waiting or line.calls >= SUBMITTERS:
        return inf
    return pacing.wait_to_ask(line.pace, now, len(line.open))


def ask_next(line: Line, now: float) -> str:
    """Who is asked for now."""
    name = line.waiting.popleft()
    line.pace, line.open[name] = pacing.ask(line.pace, now)
    line.calls += 1
    return name


def answered(line: Line, name: str, error: ProvisionError | None, now: float) -> None:
    """An answer came: without an error the stack is being made, and stays open."""
    line.calls -= 1
    if error is None:
        line.pace = pacing.was_taken(line.pace)
        return
    asked = line.open.pop(name, None)
    if asked is None:  # it was seen complete before its answer broke
        return
    if isinstance(error, BusyError):
        chance = random.random()  # noqa: S311  # spreads calls, hides nothing
        line.pace = pacing.was_refused(line.pace, asked, now, error.wait, chance)
    else:
        line.pace = pacing.went_badly(line.pace, asked, now)


def refused(line: Line, name: str) -> None:
    """The answer was a no that has nothing to do with how fast we ask."""
    line.calls -= 1
    line.open.pop(name, None)


def complete(line: Line, name: str, now: float) -> None:
    """A stack is complete. Of one that another run asked for nothing is learned."""
    if asked := line.open.pop(name, None):
        line.pace = pacing.went_well(line.pace, asked, now)


def failed_by_itself(line: Line, name: str, now: float) -> None:
    """A stack failed for no reason that would stay: it may be our pace."""
    if asked := line.open.pop(name, None):
        line.pace = pacing.went_badly(line.pace, asked, now)


def leave(line: Line, name: str) -> None:
    """Nobody waits for it any more."""
    line.open.pop(name, None)


def look_again(line: Line, total: int, age: float) -> float:
    """Seconds until the next look at all stacks."""
    line.pace = pacing.look_again(line.pace, len(line.waiting), total, age)
    return line.pace.look


def words(line: Line) -> str:
    """How many wait, and how fast the cloud is asked, in a few words."""
    if not line.waiting:
        return ""
    return f"{len(line.waiting)} waiting (asked for at {line.pace.rate:.2g} a second)"
