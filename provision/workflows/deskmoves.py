"""What a desk does with machines that stand: stop, wake, restart, reset and prove them."""

from functools import partial
from typing import TYPE_CHECKING

from provision.cloud.compute import act_on_server, observe_servers
from provision.core.naming import cohort_tag
from provision.core.outcome import Failed, Ready
from provision.core.plan import Stack
from provision.core.servers import Goal, Server
from provision.core.standing import Wish
from provision.errors import ProvisionError
from provision.workflows import wishes
from provision.workflows.crew import Crew
from provision.workflows.desk import Desk
from provision.workflows.deskreports import drain, end, fail_all, stage_of
from provision.workflows.handouts import save_urls
from provision.workflows.labels import observe_cohort
from provision.workflows.letters import write_letters
from provision.workflows.machine import prove, reach_of
from provision.workflows.servers import Settling, settle, whose

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

WAIT = 0.5  # seconds
GOALS: dict[str, Goal] = {"stop": "suspended", "wake": "running", "restart": "running"}


def move(desk: Desk, crew: Crew[None]) -> None:
    """Stop, wake, restart and prove machines that stand."""
    first = desk.clock.take(desk.moves, WAIT)
    if first is None:
        return
    todo = {wish.student: wish for wish in (first, *drain(desk.moves))}
    try:
        _bring(desk, crew, todo)
    except Exception as exc:
        fail_all(desk, todo, exc)
        raise


def _bring(desk: Desk, crew: Crew[None], todo: dict[str, Wish]) -> None:
    connection = desk.connect()
    stacks = {stack.student: stack for stack in observe_cohort(connection, desk.order.cohort, desk.order.labels)}
    refused = _settle(desk, connection, stacks, todo)
    for name, wish in todo.items():
        if name in refused:
            end(desk, refused[name])
        elif name not in stacks:
            end(desk, Failed(name, "stack", "its stack is gone", "Start again."))
        elif wish.kind == "stop":
            wishes.note(desk.engine, name, desk.owner, ended=desk.clock.now())
        else:
            crew.begin(partial(_prove, desk, connection, wish, stacks[name]))


def _settle(desk: Desk, connection: "Connection", stacks: dict[str, Stack], todo: dict[str, Wish]) -> dict[str, Failed]:
    """Bring servers where they are wanted; who could not be."""
    kinds = {name: wish.kind for name, wish in todo.items() if wish.kind in GOALS}
    if not kinds:
        return {}
    cohort = desk.order.cohort

    def owner(server: Server) -> str:
        return whose([server], stacks.values(), cohort).get(server.id, "")

    def goal(server: Server) -> Goal | None:
        kind = kinds.get(owner(server))
        return None if kind is None else GOALS[kind]

    for server in observe_servers(connection, cohort_tag(cohort)):
        if kinds.get(owner(server)) == "restart" and server.status == "ACTIVE":
            act_on_server(connection, server, "reboot")
    # Without the cohort's lock, which a launch of our own may hold: a wish is one desk's at a time.
    settling = Settling(connection, cohort, desk.deadline, desk.clock, check=lambda: None)
    settled = settle(settling, goal, lambda *_: None)
    refused = {owner(server): no for server, no in settled.values() if no}
    return {name: Failed(name, "power", no.reason, no.hint) for name, no in refused.items()}


def _prove(desk: Desk, connection: "Connection", wish: Wish, stack: Stack) -> None:
    """Whether the machine is ready, after its reset if that was asked."""
    try:
        if wish.kind == "reset" and desk.offers.reset:
            desk.offers.reset(wish.student)
        stage_of(desk, wish.student, "network")
        reach = reach_of(desk.order, desk.file.folder, desk.deadline, desk.stages)
        outcome = prove(connection, stack, reach, partial(stage_of, desk, wish.student))
    except ProvisionError as exc:
        outcome = Failed(wish.student, wish.kind, exc.message, exc.hint or "")
    except Exception as exc:
        fail_all(desk, [wish.student], exc)
        raise
    if isinstance(outcome, Ready):
        save_urls(desk.file.folder, {outcome.student: outcome.url})
        write_letters(desk.file.folder, desk.order, outcome.student)
    end(desk, outcome)
