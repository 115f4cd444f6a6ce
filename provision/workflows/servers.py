"""A cohort's servers: whose each is, by few list calls, and the loop that brings them where they are wanted."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

from provision.clock import Clock
from provision.cloud.compute import act_on_server, observe_servers
from provision.core.naming import cohort_tag, gateway_name, labelled_number, pool_number, pool_server, server_name
from provision.core.plan import Stack
from provision.core.servers import Act, Cannot, Goal, Pend, Server, Stay, next_step
from provision.errors import AuthenticationError, ProvisionError
from provision.workflows.crew import Crew, Results, next_result

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

CREW = 8
POLL = 3.0  # seconds between two list calls
GRACE = 20.0  # seconds after which an action that shows nothing is asked for again
TRIES = 3  # of an action that is refused: the server may have been on its way elsewhere

Choose = Callable[[Server], Goal | None]


@dataclass(frozen=True)
class Refusal:
    """Why a server is not where it is wanted."""

    reason: str
    hint: str = ""


@dataclass(frozen=True)
class Settling:
    """Whose servers are brought where they are wanted, in at most `deadline` seconds; `check` raises to stop it."""

    connection: "Connection"
    cohort: str
    deadline: float
    clock: Clock
    check: Callable[[], None]


@dataclass
class _Run:
    """What was asked for at which time, by server and action, and why it was refused."""

    clock: Clock
    asked: dict[tuple[str, str], float] = field(default_factory=dict)
    refused: dict[str, list[ProvisionError]] = field(default_factory=dict)

    def due(self, server: Server, action: str) -> bool:
        """Whether an action is to be asked for: once, and again when nothing came of it."""
        before, now = self.asked.get((server.id, action)), self.clock.now()
        due = before is None or now - before > GRACE
        if due:
            self.asked[server.id, action] = now
        return due

    def lost(self, server: str) -> bool:
        """Whether it was refused once too often."""
        return len(self.refused.get(server, ())) >= TRIES


def whose(servers: Iterable[Server], stacks: Iterable[Stack], cohort: str) -> dict[str, str]:
    """The student, pooled machine or shared network of each server that a stack made, by the server's id."""
    names = {server_of(stack, cohort): stack.student for stack in stacks}
    return {server.id: names[server.name] for server in servers if server.name in names}


def server_of(stack: Stack, cohort: str) -> str:
    """The name of a stack's server, as the template was given it."""
    if number := pool_number(stack.name):
        return pool_server(cohort, number)
    if stack.name.startswith(f"{cohort}."):
        return gateway_name(cohort, labelled_number(stack.student))
    return server_name(cohort, stack.name.removeprefix(f"{cohort}-"))  # the label, whoever can read it


def settle(
    settling: Settling, choose: Choose, on_count: Callable[[float, float, str], None]
) -> dict[str, tuple[Server, Refusal | None]]:
    """Bring every server of a cohort to the goal that `choose` names for it, and wait; how it ended, by its id."""
    connection, clock = settling.connection, settling.clock
    results: Results[tuple[Server, ProvisionError | None]] = SimpleQueue()
    crew, run, end = Crew(CREW, results, clock), _Run(clock), clock.now() + settling.deadline
    while True:
        settling.check()
        goals = {
            server: goal
            for server in observe_servers(connection, cohort_tag(settling.cohort))
            if (goal := choose(server)) is not None
        }
        ended = {server: _ended(run, server, goal, late=clock.now() > end) for server, goal in goals.items()}
        open_ = [server for server, how in ended.items() if how is None]
        on_count(len(goals) - len(open_), len(goals), "machines")
        if not open_:
            return {server.id: (server, how if isinstance(how, Refusal) else None) for server, how in ended.items()}
        for server in open_:
            step = next_step(goals[server], server)
            if isinstance(step, Act) and run.due(server, step.action):
                crew.begin(partial(_ask, connection, server, step.action))
        _collect(run, results)


def _ended(run: _Run, server: Server, goal: Goal, *, late: bool) -> Stay | Refusal | None:
    """How it ended for a server; None while it has not."""
    step = next_step(goal, server)
    if isinstance(step, Stay):
        return step
    if isinstance(step, Cannot):
        return Refusal(step.reason, step.hint)
    if run.lost(server.id) and not isinstance(step, Pend):
        refusal = run.refused[server.id][-1]
        return Refusal(refusal.message, refusal.hint or "")
    if late:
        return Refusal(
            f"its server is still {server.status}" + (f", task {server.task}" if server.task else ""),
            "Run the same command again; if it stays so, tell the cloud's operator.",
        )
    return None


def _ask(connection: "Connection", server: Server, action: str) -> tuple[Server, ProvisionError | None]:
    try:
        act_on_server(connection, server, action)
    except AuthenticationError:
        raise
    except ProvisionError as exc:
        return server, exc
    return server, None


def _collect(run: _Run, results: Results[tuple[Server, ProvisionError | None]]) -> None:
    """Take in what the threads return until the next list call is due."""
    pause = run.clock.now() + POLL
    while (left := pause - run.clock.now()) > 0:
        if (answer := next_result(results, left, run.clock)) and (refusal := answer[1]):
            server = answer[0].id
            run.refused.setdefault(server, []).append(refusal)
            run.asked = {asked: at for asked, at in run.asked.items() if asked[0] != server}
