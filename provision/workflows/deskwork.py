"""The threads of a desk: they read the wishes, watch the cloud, launch, and do what concerns machines that stand."""

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from provision.core.outcome import Failed, Ready
from provision.core.plan import Create, Keep, plan_cohort
from provision.core.roster import Student
from provision.core.standing import Wish
from provision.errors import BusyError, LockedError, ProvisionError, UnsureError
from provision.guests.credentials import jupyter_hash
from provision.progress import Silent
from provision.workflows import wishes
from provision.workflows.cohort import launch
from provision.workflows.crew import Crew, Results
from provision.workflows.desk import Claim, Desk, Sight, remember
from provision.workflows.deskmoves import move
from provision.workflows.deskreports import drain, end, fail_all, stage_of
from provision.workflows.handouts import ensure_handouts, public_key_file
from provision.workflows.labels import observe_cohort
from provision.workflows.power import asleep
from provision.workflows.run import Ears

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

log = logging.getLogger(__name__)

TICK = 0.5  # seconds between two looks at the wishes: another portal's are seen that late
LOOK = 3.0  # seconds between two looks at the cloud while somebody watches
WATCHED = 30.0  # seconds after the last look at a page, after which nobody watches
LIFE = 10.0  # seconds between two signs of life
AGAIN = 5.0  # seconds before a launch that could not be is tried again
PATIENCE = 600.0  # seconds that a student waits for a cloud that does not answer, before it is called a failure
HANDS = 16  # threads that claim and prove


def start(desk: Desk) -> None:
    """Begin to work."""
    results: Results[None] = SimpleQueue()
    crew: Crew[None] = Crew(HANDS, results, desk.clock)
    link: SimpleQueue[Connection] = SimpleQueue()
    for work in (
        partial(_read_wishes, desk, crew, results, {"lived": 0.0}),
        partial(_watch, desk, link),
        partial(_make, desk),
        partial(move, desk, crew),
    ):
        desk.clock.start(partial(_repeat, desk, work))


def close(desk: Desk) -> None:
    """End, and leave what was begun to others."""
    desk.closed = True
    with suppress(SQLAlchemyError):
        wishes.give_back(desk.engine, list(desk.wishes), desk.owner)


def _repeat(desk: Desk, work: Callable[[], None]) -> None:
    """Do `work` again and again. What goes wrong in it is said, and the next time may go well."""
    while not desk.closed:
        try:
            work()
        except Exception:  # a thread that ends here would leave students waiting for ever
            if not desk.closed:
                log.exception("The desk goes on after this")
            desk.clock.sleep(AGAIN)


def _read_wishes(desk: Desk, crew: Crew[None], results: Results[None], told: dict[str, float]) -> None:
    """See what is wished, and begin with what nobody does."""
    now = desk.clock.now()
    remember(desk, wishes.all_wishes(desk.engine))
    if now - told["lived"] > LIFE:
        told["lived"] = now
        wishes.live(desk.engine, desk.owner, now)
    for wish in desk.wishes.values():
        free = wish.owner is None or (wish.alive or 0) < now - wishes.LEASE
        if wish.open and free and desk.sight and desk.sight.at >= wish.asked:
            _begin(desk, crew, wish, now)
    while not results.empty():
        results.get()()
    desk.clock.sleep(TICK)


def _begin(desk: Desk, crew: Crew[None], wish: Wish, now: float) -> None:
    """Give a wish to whom it is for, if no other portal was faster."""
    if desk.sight is None or not wishes.take(desk.engine, wish, desk.owner, now):
        return
    if wish.student not in desk.students:
        end(desk, Failed(wish.student, "roster", "is not in the roster any more"))
        return
    action = desk.sight.actions.get(wish.student, Create(wish.student))
    if wish.kind != "start" or isinstance(action, Keep):
        desk.moves.put(wish)
    elif desk.offers.claim and isinstance(action, Create):
        crew.begin(partial(_claim, desk, desk.offers.claim, wish.student))
    else:
        desk.cold.put(wish.student)


def _claim(desk: Desk, claim: Claim, student: str) -> None:
    """A machine that waits for somebody, or the way of those for whom none does."""
    try:
        access = _claimed(desk, claim, desk.students[student])
    except ProvisionError as exc:
        end(desk, Failed(student, "claim", exc.message, exc.hint or ""))
        return
    except Exception as exc:
        fail_all(desk, [student], exc)
        raise
    if access is None:
        desk.cold.put(student)
    else:
        end(desk, Ready(student, access))


def _claimed(desk: Desk, claim: Claim, student: Student) -> str | None:
    course, folder = desk.order.course, desk.file.folder
    handout = ensure_handouts(folder, [student], course.user.name, course.scheme)[student.id]
    own = " ".join(public_key_file(folder, student.id).read_text().split()[:2])
    keys = tuple(dict.fromkeys([*student.ssh_keys, own]))
    access = claim(student, jupyter_hash(handout.password), keys, partial(stage_of, desk, student.id))
    return access.url if access else None


def _watch(desk: Desk, link: "SimpleQueue[Connection]") -> None:
    """See how the cohort stands, while somebody looks or waits."""
    now = desk.clock.now()
    waits = any(wish.open for wish in desk.wishes.values())
    if desk.sight is None or waits or now - desk.looked < WATCHED:
        try:
            desk.sight, desk.blind = _see(desk, _linked(desk, link), now), None
        except ProvisionError as exc:
            desk.blind = desk.blind or now
            log.warning("The cloud could not be looked at: %s", exc.message)
    desk.clock.take(desk.bell, LOOK)
    while not desk.bell.empty():
        desk.bell.get()


def _linked(desk: Desk, link: "SimpleQueue[Connection]") -> "Connection":
    """A connection, made once it can be."""
    with suppress(Empty):
        link.put(connection := link.get_nowait())
        return connection
    link.put(connection := desk.connect())
    return connection


def _see(desk: Desk, connection: "Connection", now: float) -> Sight:
    stacks = observe_cohort(connection, desk.order.cohort, desk.order.labels)
    actions = {action.student: action for action in reversed(plan_cohort(desk.students, stacks))}
    return Sight(now, actions, frozenset(asleep(connection, desk.order, stacks)) if stacks else frozenset())


def _make(desk: Desk) -> None:
    """Launch machines for those who have none. Who comes meanwhile joins in."""
    first = desk.clock.take(desk.cold, TICK)
    if first is None:
        return
    making, later = [first, *drain(desk.cold)], list[str]()

    def more() -> tuple[Student, ...]:
        asked = drain(desk.cold)
        new = [name for name in asked if name not in making]
        later.extend(name for name in asked if name in making)  # it failed in this launch: the next one tries again
        making.extend(new)
        return tuple(desk.students[name] for name in new)

    ears = Ears(partial(stage_of, desk), partial(end, desk), more, TICK * 2)
    if desk.order.shape.shared:
        ears = replace(ears, more=tuple)
    try:
        _launch(desk, [desk.students[name] for name in dict.fromkeys(making)], ears)
    except (LockedError, BusyError, UnsureError) as exc:
        log.warning("A launch is tried again: %s", exc.message)
        _try_again(desk, making, exc)
    except Exception as exc:
        fail_all(desk, making, exc)
        raise
    finally:
        for name in later:
            desk.cold.put(name)


def _launch(desk: Desk, students: list[Student], ears: Ears) -> None:
    launch(
        desk.connect(),
        replace(desk.order, students=tuple(students)),
        folder=desk.file.folder,
        deadline=desk.deadline,
        progress=Silent(),
        stages=desk.stages,
        clock=desk.clock,
        some=True,
        ears=ears,
    )


def _try_again(desk: Desk, making: Iterable[str], exc: ProvisionError) -> None:
    """Leave them to whoever can, this portal or another; but nobody waits for ever."""
    now = desk.clock.now()
    late = [name for name in making if now - desk.wishes[name].asked > PATIENCE]
    fail_all(desk, late, exc)
    wishes.give_back(desk.engine, making, desk.owner)
    desk.clock.sleep(AGAIN)
