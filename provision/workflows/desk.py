"""What the launch page asks: how a student's machine stands, and to start, stop, wake and restart it.

Nothing here waits for the cloud. What is asked is written down as a wish, which portals that share a database see too;
threads (deskwork.py) watch the cloud and do what is wished.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from provision.clock import REAL, Clock
from provision.core.plan import Action, Create, Keep
from provision.core.roster import Student
from provision.core.standing import Kind, Place, State, Wish, stand, typical_seconds
from provision.errors import NotFoundError, ProvisionError
from provision.guests.access import Access
from provision.guests.credentials import jupyter_hash, new_password
from provision.guests.probes import Stage
from provision.workflows import wishes
from provision.workflows.handouts import read_handouts, save_password
from provision.workflows.letters import write_letters
from provision.workflows.orders import CohortFile, Order

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

Claim = Callable[[Student, str, tuple[str, ...], Callable[[str], None]], Access | None]
# From which states each is asked for; otherwise nothing is done, so that a second click is none.
ALLOWED: Mapping[Kind, tuple[State, ...]] = {
    "start": ("none", "failed"),
    "wake": ("asleep",),
    "restart": ("ready", "failed"),
    "stop": ("ready", "failed"),
    "reset": ("ready", "failed"),
}


@dataclass(frozen=True)
class Offers:
    """What a desk can do beyond a launch and Nova's own actions; None where it cannot.

    `claim` is given a student, the password's hash, public keys and whom to tell the stages; it returns None when no
    machine waits. `set_password` is given a student and a hash, `reset` a student.
    """

    claim: Claim | None = None
    set_password: Callable[[str, str], None] | None = None
    reset: Callable[[str], None] | None = None


@dataclass(frozen=True)
class Sight:
    """The cohort as the cloud showed it `at` that time: what a launch would do for each, and who sleeps."""

    at: float
    actions: Mapping[str, Action] = field(default_factory=dict)
    asleep: frozenset[str] = frozenset()


@dataclass
class Desk:
    """One portal's desk for a cohort. `deadline` in seconds is that of a stack, and then of its proof.

    `sight` is None until the cloud was seen; `blind` says since when it does not answer.
    """

    file: CohortFile
    order: Order
    engine: Engine
    connect: Callable[[], "Connection"]
    offers: Offers = Offers()
    stages: tuple[Stage, ...] | None = None
    deadline: float = 900.0
    clock: Clock = REAL
    owner: str = field(default_factory=lambda: secrets.token_hex(8))
    sight: Sight | None = None
    blind: float | None = None
    looked: float = 0.0
    closed: bool = False
    wishes: dict[str, Wish] = field(default_factory=dict)
    line: Mapping[str, int] = field(default_factory=dict)
    bell: SimpleQueue[bool] = field(default_factory=SimpleQueue)
    cold: SimpleQueue[str] = field(default_factory=SimpleQueue)
    moves: SimpleQueue[Wish] = field(default_factory=SimpleQueue)

    def __post_init__(self) -> None:
        self.students = {student.id: student for student in self.order.students}


@contextmanager
def open_desk(desk: Desk) -> Iterator[Desk]:
    """Let the desk work until the context is left; what it had begun, another may go on with then."""
    from provision.workflows.deskwork import close, start
    from provision.workflows.labels import keep_key
    from provision.workflows.tenancy import check_one_project

    check_one_project(desk.order, "The launch page")
    keep_key(desk.order.labels, desk.file.folder)  # two portals that share a folder call students alike
    start(desk)
    try:
        yield desk
    finally:
        close(desk)


def look(desk: Desk, student: str) -> Place:
    """Where a student's machine is now, as far as was seen. Raises NotFoundError for one who is not in the roster."""
    _check(desk, student)
    desk.looked = desk.clock.now()
    wish, sight = desk.wishes.get(student), desk.sight
    if sight is None:
        return Place("queued" if wish and wish.open else "none", since=wish.asked if wish else None)
    action = sight.actions.get(student, Create(student))
    asleep = student in sight.asleep
    if wish is None and isinstance(action, Keep) and not asleep:
        wish = _wish(desk, student, "start", cold=False)  # it stands, made by a launch: proved, it is the student's
    return stand(action, wish, seen=sight.at, asleep=asleep, ahead=desk.line.get(student, 0))


def ask(desk: Desk, student: str, kind: Kind = "start") -> Place:
    """Ask for what is to be done. However often it is asked, it is done once; where it makes no sense, not at all."""
    place = look(desk, student)
    nothing = place.state == "failed" and kind != "start" and not place.stands
    if place.state in ALLOWED[kind] and not nothing:
        known = desk.sight.actions.get(student) if desk.sight else None
        _wish(desk, student, kind, cold=kind == "start" and not isinstance(known, Keep))
    return look(desk, student)


def reveal(desk: Desk, student: str) -> str | None:
    """The student's password, the first time only. Raises NotFoundError where no handout holds it."""
    _check(desk, student)
    if not wishes.show_once(desk.engine, student, desk.clock.now()):
        return None
    _refresh(desk, student)
    if (handout := read_handouts(desk.file.folder).get(student)) is None:
        raise NotFoundError(
            f"The password of {student} is not in {desk.file.folder}.",
            hint="Was it launched from another computer? Then the handout is there.",
        )
    return handout.password


def reset_password(desk: Desk, student: str) -> str:
    """A new password, told here and never again: the machine gets its hash alone."""
    _check(desk, student)
    if desk.offers.set_password is None:
        raise ProvisionError("Passwords cannot be reset here.", hint="Ask the course team.")
    password = new_password()
    desk.offers.set_password(student, jupyter_hash(password))
    save_password(desk.file.folder, student, password)
    write_letters(desk.file.folder, desk.order, student)
    return password


def typical(desk: Desk) -> Mapping[State, float]:
    """How long each phase usually takes on this cloud, in seconds."""
    return typical_seconds(desk.wishes.values())


def user_of(desk: Desk) -> str:
    """The account on the machines."""
    return desk.order.course.user.name


def _check(desk: Desk, student: str) -> None:
    if student not in desk.students:
        raise NotFoundError(f"{student!r} is not in the roster of {desk.order.cohort}.", hint="Tell the course team.")


def _wish(desk: Desk, student: str, kind: Kind, *, cold: bool) -> Wish | None:
    reference = secrets.token_hex(4).upper()
    if wishes.wish_for(desk.engine, student, kind, reference, desk.clock.now(), cold=cold):
        desk.bell.put(True)
    return _refresh(desk, student)


def _refresh(desk: Desk, student: str) -> Wish | None:
    if wish := wishes.read_wish(desk.engine, student):
        desk.wishes = {**desk.wishes, student: wish}
    return wish


def remember(desk: Desk, all_: Mapping[str, Wish]) -> None:
    """Take in every wish as the database has it, and who waits in which place of the line."""
    waiting = [wish.student for wish in all_.values() if wish.open and wish.made is None and wish.kind == "start"]
    desk.wishes = dict(all_)
    desk.line = {student: place for place, student in enumerate(waiting)}
