"""Who uses the cloud in the tests: somebody of faculty IT, and somebody who looks whether all is right afterwards."""

import os
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from provision.clock import Clock
from provision.cloud.connection import connect
from provision.core.drift import Repair
from provision.core.outcome import Failed, Outcome, Ready
from provision.guests.access import Access
from provision.guests.probes import NotYetError, Stage
from provision.progress import Silent
from provision.workflows.cohort import delete, launch
from provision.workflows.handouts import read_handouts
from provision.workflows.leftovers import delete_leftovers, find_leftovers
from provision.workflows.power import Asleep, resume, suspend
from provision.workflows.repair import With, find_repairs, repair

from . import world
from .clock import FastClock
from .server import Simulator
from .state import EXTERNAL, QUOTAS

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

DEADLINE = 300.0  # seconds: five times what a machine takes here


@dataclass(frozen=True)
class Operator:
    """Somebody with the cloud in clouds.yaml (the simulator at `url`), and a folder for handouts."""

    url: str
    clock: Clock
    folder: Path
    deadline: float = DEADLINE

    def connect(self) -> "Connection":
        return connect("campus", self.clock)

    def launch(self, students: int, connection: "Connection | None" = None) -> tuple[Outcome, ...]:
        return launch(
            connection or self.connect(),
            world.order(students),
            folder=self.folder,
            deadline=self.deadline,
            progress=Silent(),
            stages=self.stages,
            clock=self.clock,
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (serving(self.url, self.clock, self.deadline),)

    def repairs(self, students: int, connection: "Connection | None" = None) -> tuple[Repair, ...]:
        """What `repair` would find."""
        now = datetime.fromtimestamp(self.clock.now(), UTC)
        return find_repairs(connection or self.connect(), world.order(students), now)

    def repair(
        self, students: int, connection: "Connection | None" = None, *, may_lose: bool = False
    ) -> tuple[Outcome, ...]:
        connection = connection or self.connect()
        terms = With(self.folder, self.deadline, may_lose, self.stages, self.clock)
        return repair(connection, world.order(students), self.repairs(students, connection), terms, Silent())

    def suspend(self, students: int, *, shelve: bool = False) -> tuple[Asleep | Failed, ...]:
        return suspend(
            self.connect(),
            world.order(students),
            shelve=shelve,
            deadline=self.deadline,
            progress=Silent(),
            clock=self.clock,
        )

    def resume(self, students: int) -> tuple[Outcome, ...]:
        return resume(
            self.connect(),
            world.order(students),
            folder=self.folder,
            deadline=self.deadline,
            progress=Silent(),
            stages=self.stages,
            clock=self.clock,
        )

    def gc(self) -> int:
        connection = self.connect()
        found = find_leftovers(connection, world.COHORT, self.clock)
        return delete_leftovers(
            connection, world.COHORT, found, deadline=self.deadline, progress=Silent(), clock=self.clock
        )

    def delete(self) -> int:
        return delete(self.connect(), world.COHORT, deadline=self.deadline, progress=Silent(), clock=self.clock)


def launch_at(url: str, clouds: Path, folder: Path, students: int) -> None:
    """Launch from a process of its own, with that clouds.yaml."""
    os.environ["OS_CLIENT_CONFIG_FILE"] = str(clouds)
    Operator(url, FastClock(), folder).launch(students)


def serving(url: str, clock: Clock, deadline: float) -> Stage:
    """The proof that a simulated machine answers, in place of those that need a real one."""

    host = url.removeprefix("http://")

    def prove(access: Access, _end: float) -> None:
        end = clock.now() + deadline
        while (status := _status(host, access.address)) != 200:
            if clock.now() > end:
                words = "does not take its student's password" if status == 403 else "does not answer"
                raise NotYetError(f"{access.address} {words}")
            clock.sleep(5)

    return Stage("web", prove, "The machine is up but its notebooks are not", "Wait.")


def _status(host: str, address: str) -> int:
    connection = HTTPConnection(host, timeout=60)
    with closing(connection):
        connection.request("GET", f"/machines/{address}/healthz")
        return connection.getresponse().status


def ready(outcomes: Iterable[Outcome]) -> list[str]:
    """Who has a ready machine."""
    return [each.student for each in outcomes if isinstance(each, Ready)]


def failed(outcomes: Iterable[Outcome]) -> dict[str, Failed]:
    """Who has none."""
    return {each.student: each for each in outcomes if isinstance(each, Failed)}


def doubles(simulator: Simulator) -> list[str]:
    """The names that more than one stack has."""
    names = Counter(stack.name for stack in simulator.cloud.stacks.values())
    return [name for name, number in names.items() if number > 1]


def orphans(simulator: Simulator) -> list[str]:
    """What is there of the project's and belongs to no stack: "routers <id>"."""
    cloud = simulator.cloud
    known = {made["id"] for stack in cloud.stacks.values() for made in stack.made.values()} | {EXTERNAL}
    return [
        f"{kind} {thing['id']}"
        for kind in QUOTAS
        for thing in cloud.things[kind].values()
        if known.isdisjoint((thing["id"], thing.get("security_group_id"), thing.get("network_id")))
    ]


def machines(simulator: Simulator) -> dict[str, str]:
    """The id of the server of each stack's name, for those that have one."""
    found = {}
    for stack in simulator.cloud.stacks.values():
        for made in stack.made.values():
            if made["id"] in simulator.cloud.things["servers"]:
                found[stack.name] = made["id"]
    return found


def locked_out(simulator: Simulator, folder: Path) -> list[str]:
    """The students whose machines do not take the passwords of their handouts."""
    handouts = read_handouts(folder)
    found = []
    for stack in simulator.cloud.stacks.values():
        student, hashed = stack.parameters["student"], stack.parameters["password_hash"].removeprefix("argon2:")
        try:
            PasswordHasher().verify(hashed, handouts[student].password)
        except (KeyError, VerifyMismatchError):
            found.append(student)
    return found
