"""The stories of a class that sleeps for a while: suspend, and resume until every machine is proved ready again."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from provision.clock import REAL, Clock
from provision.cloud.compute import observe_servers
from provision.cloud.stacks import observe_shared
from provision.core.naming import STUDENT_ID, cohort_tag
from provision.core.outcome import Failed, Outcome, Ready
from provision.core.plan import Stack
from provision.core.servers import Goal, Server
from provision.guests.probes import Stage
from provision.progress import Progress
from provision.workflows.crew import Crew, Results, next_result
from provision.workflows.handouts import save_urls
from provision.workflows.launch import PROVERS
from provision.workflows.locking import hold
from provision.workflows.machine import Reach, find_addresses, prove, reach_of
from provision.workflows.observing import observe_standing
from provision.workflows.orders import Order
from provision.workflows.servers import Settling, settle, whose

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
    clock: Clock = REAL,
) -> tuple[Asleep | Failed, ...]:
    """Put every machine of a cohort to sleep, those of its gateways too; how each student's ended."""
    goal: Goal = "shelved" if shelve else "suspended"
    stacks = _stacks(connection, order)
    with hold(connection, order.cohort, "suspend", clock, progress) as check:
        settling = Settling(connection, order.cohort, deadline, clock, check)
        with progress.phase("Suspending machines") as phase:
            settled = settle(settling, lambda _: goal, phase.update)
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
    stages: tuple[Stage, ...] | None = None,
    clock: Clock = REAL,
) -> tuple[Outcome, ...]:
    """Wake every machine of a cohort, and prove each ready again: by `stages`; without them, by all."""
    stacks = _stacks(connection, order)
    with hold(connection, order.cohort, "resume", clock, progress) as check:
        settling = Settling(connection, order.cohort, deadline, clock, check)
        with progress.phase("Resuming machines") as phase:
            settled = settle(settling, lambda _: "running", phase.update)
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
    return outcomes


def asleep(connection: "Connection", order: Order, stacks: Iterable[Stack]) -> dict[str, str]:
    """Whose machine sleeps, and Nova's word for how; by one list call."""
    servers = observe_servers(connection, cohort_tag(order.cohort))
    owners = whose(servers, stacks, order.cohort)
    return {owners[server.id]: server.status for server in servers if server.asleep and server.id in owners}


def _stacks(connection: "Connection", order: Order) -> tuple[Stack, ...]:
    """The cohort's stacks, the shared ones last."""
    stacks = observe_standing(connection, order)
    return (*stacks, *observe_shared(connection, cohort_tag(order.cohort)))


def _owner(owners: dict[str, str], server: Server) -> str:
    return owners.get(server.id, server.name)
