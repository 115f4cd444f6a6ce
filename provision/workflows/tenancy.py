"""Verbs across students' projects: each is done in every project, as the operator, several at once."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from provision.clock import REAL, Clock
from provision.cloud.projects import enter, find_projects
from provision.core.naming import cohort_tag
from provision.core.outcome import Failed
from provision.core.tenancy import Project
from provision.errors import AuthenticationError, InvalidInputError, NotFoundError, ProvisionError
from provision.progress import Progress, Silent
from provision.workflows.crew import Crew, Results, next_result
from provision.workflows.orders import Order

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

CREW = 16  # projects at once
R = TypeVar("R")
Do = Callable[["Connection", Order, Progress], Iterable[R]]


@dataclass(frozen=True)
class Home:
    """A student's project, and the part of the order that is made there: one student, or one who left the roster."""

    project: Project
    student: str
    order: Order


def home_of(connection: "Connection", order: Order, student: str) -> "Connection":
    """Where a student's machine is: in the student's project, or in the one of all."""
    if order.tenancy is None:
        return connection
    for home in find_homes(connection, order):
        if home.student == student:
            return enter(connection, home.project)
    raise _no_home(order, student)


def _no_home(order: Order, students: str) -> NotFoundError:
    return NotFoundError(
        f"No project of cohort {order.cohort} is {students}'s: there is no machine.",
        hint="See who has one: provision cohort status COHORT",
    )


def check_one_project(order: Order, what: str) -> None:
    """Raise InvalidInputError if each student has a project: `what` works where there is but one."""
    if order.tenancy is not None:
        raise InvalidInputError(
            f"{what} works in one project only, and each student of {order.cohort} has one.",
            hint='Write tenancy = "one project" under [cloud] in the cohort.toml of a class that is to have it.',
        )


def find_homes(connection: "Connection", order: Order) -> tuple[Home, ...]:
    """The projects of a cohort, by one call."""
    return tuple(_home(order, each) for each in find_projects(connection, cohort_tag(order.cohort)))


def _home(order: Order, project: Project) -> Home:
    student = order.labels.student(project.label)
    only = tuple(each for each in order.students if each.id == student)
    return Home(project, student, replace(order, students=only, tenancy=None))


def across(
    connection: "Connection",
    order: Order,
    do: Do[R],
    lost: Callable[[Failed], R],
    *,
    words: str,
    progress: Progress,
    clock: Clock = REAL,
    only: Collection[str] = (),
) -> list[R]:
    """What `do` makes of the whole order, or, where each student has a project, of each one's part in it.

    A project in which it fails is `lost` for itself alone. One in which there is nothing yet adds nothing, unless it is
    of one of the `only` students whose projects are looked into.
    """
    if order.tenancy is None:
        return list(do(connection, order, progress))
    homes = find_homes(connection, order)
    if not homes:
        raise NotFoundError(
            f"Cohort {order.cohort} has no projects on this cloud.",
            hint="Is it the right cloud, and does this user see projects? If so: provision cohort launch COHORT",
        )

    if missing := sorted({*only} - {home.student for home in homes}):
        raise _no_home(order, ", ".join(missing))
    homes = tuple(home for home in homes if not only or home.student in only)

    def do_there(inside: "Connection", part: Order, quiet: Progress) -> Iterable[R]:
        try:
            return do(inside, part, quiet)
        except NotFoundError:
            if only:
                raise
            return ()  # nothing was made there yet

    return in_each(connection, homes, do_there, lost, words=words, progress=progress, clock=clock)


def in_each(
    connection: "Connection",
    homes: Iterable[Home],
    do: Do[R],
    lost: Callable[[Failed], R],
    *,
    words: str,
    progress: Progress,
    clock: Clock = REAL,
) -> list[R]:
    """What `do` makes in each of these projects, in their order."""
    homes = list(homes)
    results: Results[tuple[str, list[R]]] = SimpleQueue()
    crew = Crew(min(CREW, len(homes)), results, clock)
    found: dict[str, list[R]] = {}
    with progress.phase(words) as phase:
        for home in homes:
            crew.begin(partial(_do, connection, home, do, lost))
        while len(found) < len(homes):
            phase.update(len(found), len(homes), "projects")
            if answer := next_result(results, clock=clock):
                found[answer[0]] = answer[1]
    return [each for home in homes for each in found[home.project.id]]


def _do(connection: "Connection", home: Home, do: Do[R], lost: Callable[[Failed], R]) -> tuple[str, list[R]]:
    try:
        return home.project.id, list(do(enter(connection, home.project), home.order, Silent()))
    except AuthenticationError as exc:
        hint = "Has somebody taken the operator's role there away? A launch gives it back."
        return home.project.id, [lost(Failed(home.student, "project", exc.message, hint))]
    except ProvisionError as exc:
        return home.project.id, [lost(Failed(home.student, "project", exc.message, exc.hint or ""))]
