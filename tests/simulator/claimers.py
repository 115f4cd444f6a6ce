"""Who claims from a pool: a class with handouts, machines that let themselves be bound, and a way to be killed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from threading import Lock
from typing import TYPE_CHECKING, Any

import requests

from provision.cloud.patience import PatientAdapter
from provision.cloud.stacks import create_stack
from provision.core.naming import POOL_TAG, WARM_TAG, cohort_tag, pool_label, pool_name, pool_server
from provision.core.shape import Shape
from provision.errors import CommandError
from provision.guests.access import Access
from provision.guests.caretaker import Claim, TakenError
from provision.guests.credentials import jupyter_hash
from provision.paths import data_path
from provision.workflows.handouts import ensure_handouts
from provision.workflows.pool import Pool, claim

from . import world
from .server import Simulator
from .staff import Operator, serving
from .state import EXTERNAL, FLAVORS, Cloud

if TYPE_CHECKING:
    from provision.cloud.connection import Connection


@dataclass(frozen=True)
class Guests:
    """The machines from inside: whose each was made, ever, by its stack. Those in `broken` do nothing."""

    bound: dict[str, list[str]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    mutex: Lock = field(default_factory=Lock)

    def bind(self, access: Access, claim: Claim) -> None:
        """As the caretaker in a machine does it."""
        with self.mutex:
            if access.host_alias in self.broken:
                raise CommandError("The machine does not answer.")
            before = self.bound.setdefault(access.host_alias, [])
            if before and before[0] != claim.student:
                raise TakenError("It is another student's.")
            before.append(claim.student)


@dataclass(frozen=True)
class Desk:
    """What hands out a simulated cloud's pooled machines to students, from one folder of handouts."""

    simulator: Simulator
    folder: Path
    guests: Guests = field(default_factory=Guests)

    def pool(self, connection: "Connection | None" = None, seed: int = 0) -> Pool:
        """The pool as one process sees it."""
        order = replace(world.order(300), shape=Shape(ssh_cidr="127.0.0.0/8"))
        clock, url = self.simulator.clock, self.simulator.url
        connection = connection or Operator(url, clock, self.folder).connect()
        proof = (serving(url, clock, 100),)
        return Pool(connection, order, self.folder, self.guests.bind, proof, 100, clock, Random(seed))  # noqa: S311

    def enrol(self, students: int) -> None:
        """Write the handouts of that many."""
        ensure_handouts(self.folder, world.order(students).students, "student", "http")

    def claim(self, pool: Pool, student: str) -> Access | None:
        """What pressing the button does."""
        return claim(pool, student, HASH, ("ssh-ed25519 AAAA",), lambda _stage: None)

    def stock(self, machines: int) -> None:
        """Machines that wait, made behind the pool's back."""
        connection = self.pool().connection
        template = data_path("heat/student.yaml").read_text()
        for number in range(1, machines + 1):
            given = {
                "student": pool_label(number).replace(" ", "-"),
                "server_name": pool_server(world.COHORT, number),
                "tag": cohort_tag(world.COHORT),
                "image": world.IMAGE_ID,
                "flavor": FLAVORS[1]["id"],
                "external_network": EXTERNAL,
            }
            name = pool_name(world.COHORT, number)
            create_stack(connection, name, template, given, cohort_tag(world.COHORT), POOL_TAG, WARM_TAG)
        self.simulator.clock.sleep(200)


HASH = jupyter_hash("secret")


class KilledError(BaseException):
    """What runs here is dead: nothing catches it."""


class Deadly(PatientAdapter):
    """A way to the cloud on which somebody is killed: before his n-th call is sent, or when it was answered."""

    def __init__(self, pool: Pool, call: int, *, answered: bool) -> None:
        super().__init__(pool.clock)
        self.left, self.answered = call, answered
        for scheme in ("http://", "https://"):
            pool.connection.session.session.mount(scheme, self)

    def send(self, request: requests.PreparedRequest, stream: bool = False, *rest: Any, **more: Any) -> Any:
        """Send, but for that one."""
        self.left -= 1
        if self.left < 0 and not self.answered:
            raise KilledError
        answer = super().send(request, stream, *rest, **more)
        if self.left < 0:
            raise KilledError
        return answer


def owners(cloud: Cloud) -> dict[str, str]:
    """Whose the machines are, as the cloud says it, by their stacks' ids."""
    found = {}
    for stack in cloud.stacks.values():
        for tag in stack.tags:
            if tag.startswith("student=") and not stack.status.startswith("DELETE_"):
                found[stack.id] = tag.removeprefix("student=")
    return found


def given_twice(desk: Desk, answers: Iterable[tuple[str, Access | None]]) -> list[str]:
    """What must never be: a machine that two have had, a student with two, an answer that the cloud contradicts."""
    said = owners(desk.simulator.cloud)
    wrong = [f"{stack}: {set(who)}" for stack, who in desk.guests.bound.items() if len(set(who)) > 1]
    wrong += [f"{student} has several" for student in said.values() if [*said.values()].count(student) > 1]
    for student, access in answers:
        if access and said.get(access.host_alias) != student:
            wrong.append(f"{student} was told {access.host_alias}, which is {said.get(access.host_alias)}'s")
    return wrong


def at_once(desk: Desk, students: Iterable[str], do: Callable[[str, int], Any]) -> list[Any]:
    """What comes of `do` for each, in threads side by side."""
    from queue import SimpleQueue

    clock, ends, students = desk.simulator.clock, SimpleQueue[Any](), list(students)
    for number, student in enumerate(students):
        clock.start(lambda student=student, number=number: ends.put(do(student, number)))  # type: ignore[misc]
    return [clock.take(ends) for _ in students]
