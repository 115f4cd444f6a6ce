"""The story of what a cohort left behind: what bears its tag and is no stack's is found, and deleted in order."""

from collections.abc import Collection, Iterable
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

from provision.clock import REAL, Clock
from provision.cloud.compute import observe_servers
from provision.cloud.network import DELETION, Leftover, delete_leftover, observe_leftovers
from provision.cloud.stacks import observe_every, stack_holds
from provision.core.naming import cohort_tag
from provision.core.plan import Stack
from provision.errors import AuthenticationError, CloudError, PreflightError, ProvisionError
from provision.progress import Progress
from provision.workflows.crew import Crew, Results, next_result
from provision.workflows.locking import hold

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

READERS = 8
POLL = 3.0  # seconds between two looks


def find_leftovers(connection: "Connection", cohort: str, clock: Clock = REAL) -> tuple[Leftover, ...]:
    """What bears a cohort's tag and is no stack's, in the order in which it can be deleted.

    Raises PreflightError while Heat is at work there: what it makes just now would look as if it were nobody's.
    """
    things = observe_leftovers(connection, cohort_tag(cohort))  # before the stacks: what comes later is not in it
    if not things:
        return ()
    stacks = [stack for stack in observe_every(connection) if _concerns(stack, cohort, things)]
    working = [f"  {stack.name}: {stack.status}" for stack in stacks if stack.status.endswith("_IN_PROGRESS")]
    if working:
        raise PreflightError(
            "\n".join([f"Heat is at work on stacks of {cohort}. Nothing was deleted.", *working]),
            hint="Wait until it is done. Stacks that are stuck: provision cohort repair COHORT",
        )
    held = _held(connection, stacks, clock)
    return tuple(sorted((each for each in things if each.id not in held), key=lambda each: DELETION.index(each.kind)))


def _concerns(stack: Stack, cohort: str, things: Iterable[Leftover]) -> bool:
    """Whether a stack may hold any of it, also one without the cohort's tags: Heat names things after their stack."""
    return stack.name.startswith(cohort) or any(each.name.startswith(stack.name) for each in things)


def _held(connection: "Connection", stacks: Collection[Stack], clock: Clock) -> set[str]:
    """What the stacks made: a call for each, which is why nothing but this asks for it."""
    results: Results[set[str]] = SimpleQueue()
    crew = Crew(READERS, results, clock)
    for stack in stacks:
        crew.begin(partial(stack_holds, connection, stack))
    found = [next_result(results, clock=clock) or set() for _ in stacks]
    return set().union(*found)


def delete_leftovers(
    connection: "Connection",
    cohort: str,
    things: Iterable[Leftover],
    *,
    deadline: float,
    progress: Progress,
    clock: Clock = REAL,
) -> int:
    """Delete those of `things` that are still no stack's, and wait for the servers among them; how many they were.

    Raises CloudError with what stays.
    """
    with hold(connection, cohort, "gc", clock, progress) as check:
        known = {thing.id for thing in things}  # and a launch may have begun since they were looked for
        left = [thing for thing in find_leftovers(connection, cohort, clock) if thing.id in known]
        failed: list[str] = []
        with progress.phase("Deleting what is left") as phase:
            for number, thing in enumerate(left):
                phase.update(number, len(left), "things")
                check()
                failed += _delete(connection, thing)
                following = left[number + 1].kind if number + 1 < len(left) else ""
                if thing.kind == "server" != following:
                    servers = {each.id for each in left if each.kind == "server"}
                    _await_servers(connection, cohort, servers, deadline, clock)
    if failed:
        raise CloudError(
            "\n".join([f"{len(failed)} of {len(left)} things are not deleted:", *failed]),
            hint="Detach what was attached to them by hand, and run the same command again.",
        )
    return len(left)


def _delete(connection: "Connection", thing: Leftover) -> list[str]:
    """A line about what could not be deleted."""
    try:
        delete_leftover(connection, thing)
    except AuthenticationError:
        raise
    except ProvisionError as exc:
        return [f"  {thing}: {exc.message}"]
    return []


def _await_servers(
    connection: "Connection", cohort: str, servers: Collection[str], deadline: float, clock: Clock
) -> None:
    """Until they are gone: their ports cannot be deleted before."""
    end = clock.now() + deadline
    while clock.now() < end:
        if not any(server.id in servers for server in observe_servers(connection, cohort_tag(cohort))):
            return
        clock.sleep(POLL)
