"""How a student's machine stands, in the words of the launch page: from what was asked and what the cloud shows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

from provision.core.plan import Action, Create, Keep, Leave, Remove, Replace, Wait

State = Literal[
    "none", "queued", "reserving", "starting", "software", "checking", "ready", "asleep", "stopping", "failed"
]
Kind = Literal["start", "wake", "restart", "stop", "reset"]
PHASES: tuple[State, ...] = ("reserving", "starting", "software", "checking")
MOVING: tuple[State, ...] = ("queued", *PHASES, "stopping")  # what goes on by itself
CHECKS = ("login", "kernel", "ssh", "safety")  # the proofs that come when the course software answers


@dataclass(frozen=True)
class Wish:
    """What was asked for a student's machine last, and how far it came. Times are seconds since 1970.

    `taken` is when a portal began with it, `made` when the machine's proof began, `served` when its course software
    answered, `ended` when it was over. `stage` is the proof's, or the one that failed. `cold`: there was no machine.
    """

    student: str
    kind: Kind
    asked: float
    reference: str
    owner: str | None = None
    alive: float | None = None
    taken: float | None = None
    made: float | None = None
    served: float | None = None
    ended: float | None = None
    cold: bool = False
    stage: str = ""
    failed: bool = False
    url: str = ""
    reason: str = ""
    hint: str = ""
    shown: float | None = None

    @property
    def open(self) -> bool:
        """Whether it is still to be done."""
        return self.ended is None


@dataclass(frozen=True)
class Place:
    """Where a student is on the way to a machine. `since` is when this state began, as far as that is known.

    `stage`, `message` and `hint` are a failure's, in words for staff. `ahead` are those who asked before.
    """

    state: State
    url: str = ""
    since: float | None = None
    reference: str = ""
    stage: str = ""
    message: str = ""
    hint: str = ""
    ahead: int = 0
    password: bool = False  # it was not shown yet
    stands: bool = False  # what failed is a machine that is there


def stand(action: Action, wish: Wish | None, *, seen: float, asleep: bool = False, ahead: int = 0) -> Place:
    """How a student's machine stands: the cloud says what is there, the wish what is done about it.

    `seen` is when the cloud was asked: what ended since then it does not show yet.
    """
    if wish and wish.open:
        return _under_way(action, wish, ahead)
    if wish and not wish.failed and (wish.ended or 0) > seen:
        return _done(wish)
    match action:
        case Keep() if asleep:
            return Place("asleep", since=wish.ended if wish else None)
        case Keep() if wish and wish.failed:
            return replace(_failed(wish), stands=True)
        case Keep() if wish:
            return _done(wish)
        case Keep():
            return Place("checking")  # it stands, and nobody has proved it here
        case Wait() if action.stack.status.startswith("DELETE"):
            return Place("stopping")
        case Wait():
            return Place("starting")
        case Replace() if action.stack.status == "DELETE_IN_PROGRESS":
            return Place("stopping")
        case Replace() if wish is None or not wish.failed:
            return Place("failed", stage="stack", message=action.stack.reason)
        case _:
            return _failed(wish) if wish and wish.failed else Place("none")


def _under_way(action: Action, wish: Wish, ahead: int) -> Place:
    if wish.kind == "stop":
        return Place("stopping", since=wish.asked, reference=wish.reference)
    if wish.served is not None:
        return Place("checking", since=wish.served, reference=wish.reference)
    if wish.made is not None:
        return Place("software", since=wish.made, reference=wish.reference)
    if wish.taken is None:
        return Place("queued", since=wish.asked, reference=wish.reference, ahead=ahead)
    if isinstance(action, Create | Replace | Leave | Remove):
        return Place("reserving", since=wish.taken, reference=wish.reference)
    return Place("starting", since=wish.taken, reference=wish.reference)


def _done(wish: Wish) -> Place:
    if wish.kind == "stop":
        return Place("asleep", since=wish.ended)
    return Place("ready", wish.url, wish.ended, wish.reference, password=wish.shown is None)


def _failed(wish: Wish) -> Place:
    return Place("failed", "", wish.ended, wish.reference, wish.stage, wish.reason, wish.hint)


def typical_seconds(wishes: Iterable[Wish]) -> Mapping[State, float]:
    """The usual length of each phase in seconds, by those who came all the way from nothing; empty without any."""
    known = [wish for wish in wishes if wish.cold and not wish.failed and wish.ended is not None]
    whole = [wish for wish in known if wish.taken and wish.made and wish.served]
    if not whole:
        return {}
    return {
        "reserving": median((wish.taken or 0) - wish.asked for wish in whole),
        "starting": median((wish.made or 0) - (wish.taken or 0) for wish in whole),
        "software": median((wish.served or 0) - (wish.made or 0) for wish in whole),
        "checking": median((wish.ended or 0) - (wish.served or 0) for wish in whole),
    }
