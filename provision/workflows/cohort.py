"""The stories of a cohort: plan, launch, status, delete. One loop, observe, plan, act, and no state but the cloud's."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from provision.clock import REAL, Clock
from provision.cloud.network import observe_leftovers
from provision.cloud.stacks import delete_stack, observe_shared, observe_stacks
from provision.core.naming import cohort_tag
from provision.core.outcome import Outcome, Ready
from provision.core.places import Layout
from provision.core.plan import Action, Create, Keep, Leave, Replace, Stack, plan_cohort
from provision.errors import CloudError, NotFoundError, ProvisionError, StudentsFailedError
from provision.guests import probes
from provision.paths import data_path
from provision.progress import Progress
from provision.workflows.crew import Crew, Results, next_result
from provision.workflows.handouts import read_handouts, save_urls
from provision.workflows.labels import keep_key, observe_cohort
from provision.workflows.launch import PROVERS, Job, converge
from provision.workflows.machine import Reach, failed_stack, prove
from provision.workflows.orders import Order
from provision.workflows.preflight import Ground, check_ground
from provision.workflows.run import GRACE, Run, summary
from provision.workflows.shared import Task, ensure_shared, find_places

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

DELETERS = 8
POLL = 3.0  # seconds between two list calls


@dataclass(frozen=True)
class Plan:
    """What a launch would do, to students' stacks and to those that they share, and with what."""

    ground: Ground
    actions: tuple[Action, ...]
    layout: Layout


@dataclass(frozen=True)
class Standing:
    """How a student's machine stands now. `action` is what a launch would do about it."""

    student: str
    action: Action
    outcome: Outcome | None


def plan(connection: "Connection", order: Order, *, image: str | None, flavor: str | None, network: str | None) -> Plan:
    """Observe the cohort and say what is missing. Raises, with everything that is wrong, if it cannot be made."""
    stacks = observe_cohort(connection, order.cohort, order.labels)
    actions = plan_cohort([student.id for student in order.students], stacks)
    layout = find_places(connection, order, actions, stacks)
    # What a failed stack holds is free again before its successor is asked for.
    missing = sum(isinstance(action, Create) for action in actions)
    ground = check_ground(
        connection,
        order.course,
        order.presentation,
        image=image,
        flavor=flavor,
        network=network,
        machines=missing,
        shared=sum(isinstance(action, Create) for action in layout.actions),
        shape=order.shape,
    )
    return Plan(ground, actions, layout)


def launch(
    connection: "Connection",
    order: Order,
    *,
    image: str | None,
    flavor: str | None,
    network: str | None,
    folder: Path,
    deadline: float,
    progress: Progress,
    stages: tuple[probes.Stage, ...] | None = None,
    clock: Clock = REAL,
) -> tuple[Outcome, ...]:
    """Give each student a machine that is proved ready, or say why not. What is right already is only proved again.

    `stages` are what is proved of each; without them, all.
    """
    with progress.phase("Checking the cloud, the image, the flavor, the network and the quota"):
        made = plan(connection, order, image=image, flavor=flavor, network=network)
    for action in made.actions:
        if isinstance(action, Leave):
            progress.say(f"{action.stack.name} is left as it is: {action.student} is not in the roster.")
    keep_key(order.labels, folder)
    template = data_path("heat/student.yaml").read_text()
    reach = _reach(order, folder, deadline, stages)
    run = Run(clock=clock)
    total = len(order.students)
    seats = ensure_shared(Task(connection, order, made.ground, deadline, clock), made.layout, progress)
    try:
        with progress.phase("Launching and proving machines") as phase:
            converge(Job(connection, order, made.ground, template, reach, seats, clock), run, phase, progress)
            phase.result(summary(run, total))
    except KeyboardInterrupt:
        progress.say(f"Stopped: {summary(run, total)}. The cloud goes on making what was asked for; all of it stays.")
        raise
    finally:
        ready = {name: outcome.url for name, outcome in run.outcomes.items() if isinstance(outcome, Ready)}
        save_urls(folder, ready)
    return tuple(run.outcomes[student.id] for student in order.students)


def _reach(order: Order, folder: Path, deadline: float, stages: tuple[probes.Stage, ...] | None = None) -> Reach:
    """How machines are reached, and what is proved of them: without `stages` all that their network lets through."""
    open_ = probes.stages(ssh=order.shape.ssh_cidr is not None)
    return Reach(folder, read_handouts(folder), deadline, open_ if stages is None else stages)


def status(connection: "Connection", order: Order, *, folder: Path, deadline: float) -> tuple[Standing, ...]:
    """How every student's machine stands, and every other of the cohort; those that stand are proved anew."""
    stacks = observe_cohort(connection, order.cohort, order.labels)
    if not stacks:
        raise _no_cohort(order.cohort)
    actions = plan_cohort([student.id for student in order.students], stacks)
    reach = _reach(order, folder, deadline)
    results: Results[Outcome] = SimpleQueue()
    crew = Crew(PROVERS, results)
    kept = [action.stack for action in actions if isinstance(action, Keep)]
    for stack in kept:
        crew.begin(partial(prove, connection, stack, reach, lambda _stage: None))
    outcomes = {outcome.student: outcome for _ in kept if (outcome := next_result(results))}
    for action in actions:
        if isinstance(action, Replace):
            outcomes[action.student] = failed_stack(connection, action.stack)
    standings = (Standing(action.student, action, outcomes.get(action.student)) for action in actions)
    return (*standings, *_broken_networks(connection, order.cohort))


def _broken_networks(connection: "Connection", cohort: str) -> Iterator[Standing]:
    """The shared stacks with which something is wrong."""
    for stack in observe_shared(connection, cohort_tag(cohort)):
        if not stack.complete and stack.status != "CREATE_IN_PROGRESS":
            (action,) = plan_cohort([stack.student], [stack])
            yield Standing(stack.student, action, failed_stack(connection, stack))


def find_cohort(connection: "Connection", cohort: str) -> tuple[Stack, ...]:
    """All stacks of a cohort, the shared ones last. Raises NotFoundError if there is none."""
    tag = cohort_tag(cohort)
    stacks = (*observe_stacks(connection, tag), *observe_shared(connection, tag))
    if not stacks:
        raise _no_cohort(cohort)
    return stacks


def delete(connection: "Connection", cohort: str, *, deadline: float, progress: Progress, clock: Clock = REAL) -> int:
    """Delete every machine of a cohort and prove that nothing which bears its tag is left; how many they were."""
    with progress.phase(f"Deleting {cohort}") as phase:
        count = _delete_all(connection, cohort, deadline, phase.update, clock)
    with progress.phase("Looking for what is left"):
        left = observe_leftovers(connection, cohort_tag(cohort))
    if left:
        raise CloudError(
            "\n".join([f"The stacks of {cohort} are gone, but these are left:", *(f"  {each}" for each in left)]),
            hint="Something was attached to them by hand: detach it, delete them with the openstack client.",
        )
    return count


def _delete_all(
    connection: "Connection", cohort: str, deadline: float, on_count: Callable[[float, float, str], None], clock: Clock
) -> int:
    """Ask for the end of every stack, once each, and wait until the list is empty; of what they shared, after them."""
    results: Results[tuple[Stack, ProvisionError | None]] = SimpleQueue()
    crew = Crew(DELETERS, results, clock)
    asked: dict[str, float] = {}
    refused: dict[str, str] = {}
    end = clock.now() + deadline
    tag = cohort_tag(cohort)
    while stacks := observe_stacks(connection, tag) or observe_shared(connection, tag):
        for stack in stacks:
            if stack.id not in asked:
                asked[stack.id] = clock.now()
                crew.begin(partial(_ask, connection, stack))
            elif stack.status == "DELETE_FAILED" and clock.now() - asked[stack.id] > GRACE:
                failed = failed_stack(connection, stack)
                refused[stack.id] = f"{failed.stage}: {failed.reason}"
        on_count(len(asked) - len(stacks), len(asked), "stacks")
        if clock.now() > end or all(stack.id in refused for stack in stacks):
            raise _not_deleted(stacks, refused)
        pause = clock.now() + POLL
        while (left := pause - clock.now()) > 0:
            if (answer := next_result(results, left, clock)) and answer[1]:
                refused[answer[0].id] = answer[1].message
    on_count(len(asked), len(asked), "stacks")
    return len(asked)


def _ask(connection: "Connection", stack: Stack) -> tuple[Stack, ProvisionError | None]:
    try:
        delete_stack(connection, stack)
    except ProvisionError as exc:
        return stack, exc
    return stack, None


def _not_deleted(stacks: Iterable[Stack], refused: Mapping[str, str]) -> StudentsFailedError:
    lines = [f"  {stack.name}: {refused.get(stack.id, f'still {stack.status}')}" for stack in stacks]
    return StudentsFailedError(
        "\n".join(["Some stacks are not deleted:", *lines]),
        hint="Run the same command again; if it stays so, ask the cloud's operator about these stacks.",
    )


def _no_cohort(cohort: str) -> NotFoundError:
    return NotFoundError(
        f"Cohort {cohort} has no machines in this project.",
        hint="Is it the right cloud and project? If so: provision cohort launch COHORT",
    )
