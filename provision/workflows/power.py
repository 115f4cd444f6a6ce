"""The stories of a class that sleeps for a while: suspend, and resume until every machine is proved ready again."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from provision.clock import REAL, Clock
from provision.cloud.compute import observe_servers
from provision.cloud.stacks import observe_pool, observe_shared
from provision.core.naming import STUDENT_ID, cohort_tag
from provision.core.outcome import Failed, Outcome, Ready
from provision.core.plan import Stack
from provision.core.servers import Goal, Server, Stay, next_step
from provision.errors import CloudError, NotFoundError
from provision.guests.probes import Stage
from provision.progress import Progress
from provision.workflows.crew import Crew, Results, next_result
from provision.workflows.handouts import save_urls
from provision.workflows.launch import PROVERS
from provision.workflows.letters import write_letters
from provision.workflows.locking import hold
from provision.workflows.machine import Reach, find_addresses, prove, reach_of
from provision.workflows.observing import observe_standing
from provision.workflows.orders import Order
from provision.workflows.servers import Settling, server_of, settle, whose

if TYPE_CHECKING:
    from provision.cloud.connection import Connection


@dataclass(frozen=True)
class Asleep:
    """The student's machine sleeps; `state` is Nova's word for how."""

    student: str
    state: str


def suspend(
    connection: "Connection",
    order: Order,
    *,
    shelve: bool,
    deadline: float,
    progress: Progress,
    student: str | None = None,
    clock: Clock = REAL,
) -> tuple[Asleep | Failed, ...]:
    """Put every machine of a cohort to sleep, those of its gateways too, or only one student's; how each ended."""
    goal: Goal = "shelved" if shelve else "suspended"
    stacks = _stacks(connection, order, student)
    choose = _choose(goal, stacks, order, student)
    with hold(connection, order.cohort, "suspend", clock, progress) as check:
        settling = Settling(connection, order.cohort, deadline, clock, check)
        with progress.phase("Suspending machines") as phase:
            settled = settle(settling, choose, phase.update)
    owners = whose((server for server, _ in settled.values()), stacks, order.cohort)
    return tuple(
        Failed(_owner(owners, server), goal, refusal.reason, refusal.hint)
        if refusal
        else Asleep(_owner(owners, server), server.status)
        for server, refusal in sorted(settled.values(), key=lambda each: each[0].name)
    )


def resume(
    connection: "Connection",
    order: Order,
    *,
    folder: Path,
    deadline: float,
    progress: Progress,
    student: str | None = None,
    stages: tuple[Stage, ...] | None = None,
    clock: Clock = REAL,
) -> tuple[Outcome, ...]:
    """Wake every machine of a cohort, or only one student's and its gateway, and prove each ready again.

    By `stages`; without them, by all.
    """
    stacks = _stacks(connection, order, student, gateway=True)
    choose = _choose("running", stacks, order, student)
    with hold(connection, order.cohort, "resume", clock, progress) as check:
        settling = Settling(connection, order.cohort, deadline, clock, check)
        with progress.phase("Resuming machines") as phase:
            settled = settle(settling, choose, phase.update)
        owners = whose((server for server, _ in settled.values()), stacks, order.cohort)
        failed = {
            _owner(owners, server): Failed(_owner(owners, server), "server", refusal.reason, refusal.hint)
            for server, refusal in settled.values()
            if refusal
        }
        awake = set(owners.values())
        for stack in stacks:
            if stack.student not in awake and stack.student not in failed and STUDENT_ID.fullmatch(stack.student):
                words, hint = "its stack has no server", "Run: provision cohort repair COHORT"
                failed[stack.student] = Failed(stack.student, "server", words, hint)
        students = [stack for stack in stacks if STUDENT_ID.fullmatch(stack.student) and stack.student not in failed]
        reach = reach_of(order, folder, deadline, stages)
        proved = prove_all(connection, order, students, reach, progress, clock)
        return tuple(outcome for _, outcome in sorted({**failed, **proved}.items()))


def wake(
    connection: "Connection",
    order: Order,
    student: str,
    *,
    deadline: float,
    progress: Progress,
    clock: Clock = REAL,
) -> None:
    """Wake the student's machine and its gateway if they sleep, and prove nothing. Raises CloudError if that fails.

    Where both run already, that is seen by a list call, and whoever holds the cohort's lock does not matter.
    """
    stacks = _stacks(connection, order, student, gateway=True)
    choose = _choose("running", stacks, order, student)
    servers = [server for server in observe_servers(connection, cohort_tag(order.cohort)) if choose(server)]
    if all(isinstance(next_step("running", server), Stay) for server in servers):
        return
    with hold(connection, order.cohort, "wake", clock, progress) as check:
        settling = Settling(connection, order.cohort, deadline, clock, check)
        with progress.phase("Waking the machine") as phase:
            settled = settle(settling, choose, phase.update)
    for server, refusal in settled.values():
        if refusal:
            raise CloudError(f"Server {server.name} does not wake: {refusal.reason}.", hint=refusal.hint or None)


def prove_all(
    connection: "Connection", order: Order, stacks: Iterable[Stack], reach: Reach, progress: Progress, clock: Clock
) -> dict[str, Outcome]:
    """Whether the machines of these stacks are ready, each proved from outside; by student. Handouts get their URLs."""
    results: Results[Outcome] = SimpleQueue()
    crew = Crew(PROVERS, results, clock)
    stacks = list(stacks)
    addresses = find_addresses(connection, order, stacks)
    for stack in stacks:
        crew.begin(partial(prove, connection, stack, reach, lambda _stage: None, addresses.get(stack.id, "")))
    outcomes: dict[str, Outcome] = {}
    with progress.phase("Proving machines") as phase:
        while len(outcomes) < len(stacks):
            phase.update(len(outcomes), len(stacks), "machines")
            if outcome := next_result(results, clock=clock):
                outcomes[outcome.student] = outcome
    save_urls(reach.folder, {name: outcome.url for name, outcome in outcomes.items() if isinstance(outcome, Ready)})
    write_letters(reach.folder, order)
    return outcomes


def asleep(connection: "Connection", order: Order, stacks: Iterable[Stack]) -> dict[str, str]:
    """Whose machine sleeps, and Nova's word for how; by one list call."""
    servers = observe_servers(connection, cohort_tag(order.cohort))
    owners = whose(servers, stacks, order.cohort)
    return {owners[server.id]: server.status for server in servers if server.asleep and server.id in owners}


def _stacks(connection: "Connection", order: Order, student: str | None, *, gateway: bool = False) -> tuple[Stack, ...]:
    """The cohort's stacks, pooled and shared ones last; or the student's alone, with its shared one if `gateway`."""
    tag = cohort_tag(order.cohort)
    stacks, shared = observe_standing(connection, order), observe_shared(connection, tag)
    if student is None:
        return (*stacks, *observe_pool(connection, tag), *shared)
    own = [stack for stack in stacks if stack.student == student]
    if not own:
        raise NotFoundError(
            f"Student {student!r} has no machine in cohort {order.cohort}.", hint="Make it: provision up COHORT STUDENT"
        )
    places = {stack.place for stack in own} if gateway else set()
    return (*own, *(stack for stack in shared if stack.id in places))


def _choose(goal: Goal, stacks: Iterable[Stack], order: Order, student: str | None) -> Callable[[Server], Goal | None]:
    """The goal of each server: of one student's, only that of the servers of `stacks`."""
    if student is None:
        return lambda _: goal
    names = {server_of(stack, order.cohort) for stack in stacks}
    return lambda server: goal if server.name in names else None


def _owner(owners: dict[str, str], server: Server) -> str:
    return owners.get(server.id, server.name)
