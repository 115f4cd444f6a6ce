"""Machines ahead of need: how many are kept, what is done about those there are, and what a half-done claim becomes.

Times are the local ones of whoever keeps the pool: a timetable is written for people.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import count, islice
from typing import Literal

from provision.core.naming import pool_number
from provision.core.plan import Stack

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = f"(?:{'|'.join(DAYS)})"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
HOURS = rf"({_DAY}(?:,{_DAY})*|daily|weekdays) ({_TIME})-({_TIME}) ([1-9][0-9]{{0,2}}|1000)"  # of cohort.toml
_WORDS = {"daily": DAYS, "weekdays": DAYS[:5]}

LEASE = 300.0  # seconds without a sign of life after which a claim is taken for killed: longer than one may take


@dataclass(frozen=True)
class Hours:
    """So many machines wait between two times of these days (0 is Monday)."""

    days: frozenset[int]
    begin: time
    end: time
    size: int


def parse_hours(text: str) -> Hours:
    """What a line of the timetable says, such as "mon,wed 09:00-11:00 40". Raises ValueError for any other text."""
    found = re.fullmatch(HOURS, text)
    if not found:
        raise ValueError(f'{text!r} is not days, hours and a number, as in "mon,wed 09:00-11:00 40"')
    days = _WORDS.get(found[1]) or found[1].split(",")
    hours = Hours(
        frozenset(map(DAYS.index, days)), time.fromisoformat(found[2]), time.fromisoformat(found[3]), int(found[4])
    )
    if hours.end <= hours.begin:
        raise ValueError(f"{text!r} ends before it begins: hours past midnight are two lines")
    return hours


@dataclass(frozen=True)
class Terms:
    """How many wait always, and at which hours more; how long before these they are begun; when surplus ones go.

    The largest number that is written here is never exceeded, whoever comes.
    """

    size: int = 0
    timetable: tuple[Hours, ...] = ()
    ahead: timedelta = timedelta(minutes=30)
    idle: timedelta = timedelta(minutes=60)


def wanted(terms: Terms, now: datetime, arrivals: Iterable[datetime]) -> int:
    """How many machines are to wait: what is written for now or soon, and as many as were claimed in such a time."""
    written = max([terms.size, *(each.size for each in terms.timetable if _is_near(each, terms.ahead, now))])
    most = max([terms.size, *(each.size for each in terms.timetable)])
    recent = sum(now - terms.ahead <= each <= now for each in arrivals)
    return max(written, min(most, recent))


def _is_near(hours: Hours, ahead: timedelta, now: datetime) -> bool:
    """Whether the hours are now, or begin before `ahead` is over."""
    return any(
        day.weekday() in hours.days
        and datetime.combine(day, hours.begin, now.tzinfo) - ahead <= now < datetime.combine(day, hours.end, now.tzinfo)
        for day in (now.date() + timedelta(days=each) for each in range(ahead.days + 2))
    )


def is_idle(terms: Terms, now: datetime, arrivals: Iterable[datetime]) -> bool:
    """Whether nobody came for so long that what is there beyond need is given back."""
    return not any(now - terms.idle <= each <= now for each in arrivals)


@dataclass(frozen=True)
class Make:
    """One more is wanted, of this number."""

    number: int


@dataclass(frozen=True)
class Prove:
    """It is complete, and was not proved yet."""

    stack: Stack


@dataclass(frozen=True)
class Discard:
    """It is no good, or one too many."""

    stack: Stack
    why: str


Step = Make | Prove | Discard


def plan_pool(
    free: Collection[Stack], taken: Collection[Stack], claimed: Collection[str], want: int, *, idle: bool
) -> tuple[Step, ...]:
    """What brings the pool to `want` machines that wait or are being made.

    `free` are the pooled machines that are nobody's, `taken` those that are students', `claimed` the stacks' ids of
    claims under way. What is taken or claimed is never touched.
    """
    ours = [stack for stack in free if stack.id not in claimed]
    lost = [stack for stack in ours if _is_lost(stack)]
    good = [stack for stack in ours if not _is_lost(stack) and not stack.status.startswith("DELETE_")]
    surplus = _surplus(good, len(good) - want) if idle or not want else []
    return (
        *(Discard(stack, f"its stack is {stack.status}") for stack in lost),
        *(Discard(stack, "more than are needed") for stack in surplus),
        *(Prove(stack) for stack in good if stack.complete and not stack.warm and stack not in surplus),
        *map(Make, islice(_numbers((*free, *taken)), max(0, want - len(good)))),
    )


def _is_lost(stack: Stack) -> bool:
    return stack.status.endswith("_FAILED")


def _surplus(stacks: Iterable[Stack], number: int) -> list[Stack]:
    """Those that are not ready yet first, then the oldest."""
    return sorted(stacks, key=lambda stack: (stack.warm, stack.created, stack.id))[: max(0, number)]


def _numbers(stacks: Iterable[Stack]) -> Iterable[int]:
    used = {pool_number(stack.name) for stack in stacks}
    return (number for number in count(1) if number not in used)


@dataclass(frozen=True)
class Claim:
    """A claim under way: the id of its port, the stack's name and id, and the student's label, empty for nobody.

    `silent` is for how many seconds nothing was heard of it.
    """

    port: str
    name: str
    stack: str
    student: str
    silent: float


Fate = Literal["wait", "drop", "finish", "undo"]


def settle(claim: Claim, stack: Stack | None) -> Fate:
    """What becomes of a claim, seen with its machine's stack as it is now.

    "drop": the machine is gone, and the claim with it. "wait": somebody may be at work on it. "finish": the cloud says
    that the machine is the student's, so it is made so. "undo": it was killed before that; the machine is deleted and
    never given to another, for whoever began may not be dead but slow.
    """
    if stack is None or stack.status.startswith("DELETE_"):
        return "drop"
    if claim.silent <= LEASE:
        return "wait"
    return "finish" if claim.student and stack.student == claim.student else "undo"
