"""The stories of one student's machine: up, destroy, and what of them asleep and awake have in common.

They are those of the whole cohort for a cohort of one: the same loop, lock and proof.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from provision.clock import REAL, Clock
from provision.cloud.compute import observe_servers
from provision.cloud.projects import enter
from provision.core.naming import cohort_tag
from provision.core.outcome import Outcome
from provision.core.plan import Stack
from provision.core.servers import Server
from provision.errors import NotFoundError
from provision.guests.probes import Stage
from provision.progress import Progress
from provision.workflows.cohort import launch
from provision.workflows.deleting import Deletion, delete_all
from provision.workflows.labels import observe_cohort
from provision.workflows.locking import hold
from provision.workflows.orders import Order
from provision.workflows.power import resume
from provision.workflows.projects import launch_projects
from provision.workflows.servers import whose
from provision.workflows.tenancy import find_homes

if TYPE_CHECKING:
    from provision.cloud.connection import Connection


@dataclass(frozen=True)
class Wanted:
    """Where a machine's handout is, how long anything may take, and what is proved: without `stages`, all."""

    folder: Path
    deadline: float
    stages: tuple[Stage, ...] | None = None
    clock: Clock = REAL


def alone(order: Order, student: str) -> Order:
    """The order for one of its students. The labels stay those of all."""
    found = tuple(each for each in order.students if each.id == student)
    if not found:
        raise NotFoundError(
            f"{student!r} is not in the roster of {order.cohort}.", hint="See who is: provision cohort check COHORT"
        )
    return replace(order, students=found)


def find_stacks(connection: "Connection", order: Order, student: str) -> tuple[Stack, ...]:
    """The student's stacks: one, none, or two where Heat let a second through."""
    stacks = observe_cohort(connection, order.cohort, order.labels)
    return tuple(stack for stack in stacks if stack.student == student)


def find_server(connection: "Connection", order: Order, student: str) -> Server | None:
    """The student's server, if there is one."""
    stacks = find_stacks(connection, order, student)
    servers = observe_servers(connection, cohort_tag(order.cohort))
    owners = whose(servers, stacks, order.cohort)
    return next((server for server in servers if server.id in owners), None)


def up(connection: "Connection", order: Order, student: str, wanted: Wanted, progress: Progress) -> Outcome:
    """Give the student a machine that is proved ready: made if there is none, woken if it sleeps or is off.

    Where each student has a project, that is made, too.
    """
    some = alone(order, student)
    for place, part in _places(connection, some, student):
        server = find_server(place, part, student)
        if server and not server.task and (server.asleep or server.status in ("SHUTOFF", "PAUSED")):
            return _wake(place, part, student, wanted, progress)
    launch_some = partial(launch, some=True) if order.tenancy is None else launch_projects
    (outcome,) = launch_some(
        connection,
        some,
        folder=wanted.folder,
        deadline=wanted.deadline,
        progress=progress,
        stages=wanted.stages,
        clock=wanted.clock,
    )
    return outcome


def _places(connection: "Connection", order: Order, student: str) -> Iterator[tuple["Connection", Order]]:
    """Where the student's machine may be, and the order as it is there."""
    if order.tenancy is None:
        yield connection, order
        return
    for home in find_homes(connection, order):
        if home.student == student:
            yield enter(connection, home.project), home.order


def _wake(connection: "Connection", order: Order, student: str, wanted: Wanted, progress: Progress) -> Outcome:
    (outcome,) = resume(
        connection,
        order,
        folder=wanted.folder,
        deadline=wanted.deadline,
        progress=progress,
        student=student,
        stages=wanted.stages,
        clock=wanted.clock,
    )
    return outcome


def destroy(
    connection: "Connection", order: Order, student: str, *, deadline: float, progress: Progress, clock: Clock = REAL
) -> int:
    """Delete the student's machine and wait until it is gone; how many stacks that were. Snapshots and handout stay."""
    label = order.labels.label(student)
    with (
        hold(connection, order.cohort, "destroy", clock, progress) as check,
        progress.phase(f"Deleting the machine of {student}") as phase,
    ):
        return delete_all(Deletion(connection, order.cohort, deadline, clock, check, label), phase.update)
