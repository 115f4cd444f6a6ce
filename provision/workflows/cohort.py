"""The stories of a cohort: plan, launch, status, delete. One loop, observe, plan, act, and no state but the cloud's."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from provision.clock import REAL, Clock
from provision.cloud.network import observe_leftovers
from provision.cloud.stacks import observe_machines, observe_shared
from provision.core.naming import cohort_tag
from provision.core.outcome import Failed, Outcome, Ready
from provision.core.places import Layout
from provision.core.plan import Action, Create, Keep, Leave, Replace, Stack, plan_cohort
from provision.errors import CloudError, NotFoundError
from provision.guests import probes
from provision.paths import data_path
from provision.progress import Progress
from provision.workflows.asking import Job
from provision.workflows.crew import Crew, Results, next_result
from provision.workflows.deleting import Deletion, delete_all
from provision.workflows.handouts import save_urls
from provision.workflows.labels import keep_key, observe_cohort
from provision.workflows.launch import PROVERS, converge
from provision.workflows.letters import write_letters
from provision.workflows.locking import hold
from provision.workflows.machine import Reach, failed_stack, find_addresses, prove, reach_of
from provision.workflows.orders import Order
from provision.workflows.power import asleep
from provision.workflows.preflight import Ground, Wish, check_ground
from provision.workflows.run import DEAF, Ears, Run, summary
from provision.workflows.settling import end_claims
from provision.workflows.shared import Task, ensure_shared, find_places

if TYPE_CHECKING:
    from provision.cloud.connection import Connection


@dataclass(frozen=True)
class Plan:
    """What a launch would do, to students' stacks and to those that they share, and with what."""

    ground: Ground
    actions: tuple[Action, ...]
    layout: Layout


@dataclass(frozen=True)
class Standing:
    """How a student's machine stands now. `action` is what a launch would do about it.

    `asleep` is Nova's word for how it sleeps, SUSPENDED or SHELVED, if it does.
    """

    student: str
    action: Action
    outcome: Outcome | None
    asleep: str = ""


def plan(connection: "Connection", order: Order, *, making: bool = False) -> Plan:
    """Observe the cohort and say what is missing. Raises, with everything that is wrong, if it cannot be made.

    `making`: it is made at once (see `check_ground`).
    """
    actions, layout = find_actions(connection, order)
    return Plan(check_ground(connection, wish(order, actions, layout), making=making), actions, layout)


def find_actions(connection: "Connection", order: Order) -> tuple[tuple[Action, ...], Layout]:
    """What is to be done to students' stacks, and to those that they share."""
    stacks = observe_cohort(connection, order.cohort, order.labels)
    actions = plan_cohort([student.id for student in order.students], stacks)
    return actions, find_places(connection, order, actions, stacks)


def wish(order: Order, actions: Iterable[Action], layout: Layout) -> Wish:
    """What the actions make anew."""
    return Wish(
        order.course,
        order.presentation,
        order.choice.image,
        order.choice.flavor,
        order.choice.network,
        # What a failed stack holds is free again before its successor is asked for.
        machines=sum(isinstance(action, Create) for action in actions),
        shared=sum(isinstance(action, Create) for action in layout.actions),
        shape=order.shape,
        stack_limit=order.choice.stack_limit,
    )


def launch(
    connection: "Connection",
    order: Order,
    *,
    folder: Path,
    deadline: float,
    progress: Progress,
    stages: tuple[probes.Stage, ...] | None = None,
    clock: Clock = REAL,
    some: bool = False,
    ears: Ears = DEAF,
) -> tuple[Outcome, ...]:
    """Give each student a machine that is proved ready, or say why not. What is right already is only proved again.

    `stages` are what is proved of each; without them, all. Who sleeps is left to sleep. `some` and `ears`: see
    `Launching`.
    """
    with hold(connection, order.cohort, "launch", clock, progress) as check:
        launching = Launching(reach_of(order, folder, deadline, stages), progress, clock, check, some, ears)
        return launch_held(connection, order, launching)


@dataclass(frozen=True)
class Launching:
    """How a launch goes about it. `check` raises once the cohort's lock is lost.

    `some`: these are but some of the cohort's students, and the machines of the others are not worth a word. `ears`
    are told how each fares.
    """

    reach: Reach
    progress: Progress
    clock: Clock
    check: Callable[[], None]
    some: bool = False
    ears: Ears = DEAF


def launch_held(connection: "Connection", order: Order, how: Launching) -> tuple[Outcome, ...]:
    """As `launch`, by one who holds the cohort's lock."""
    progress, reach = how.progress, how.reach
    with progress.phase("Checking the cloud, the image, the flavor, the network and the quota"):
        made = plan(connection, order, making=True)
    for finding in made.ground.warnings:
        progress.say(f"Warning: {finding.meaning}" + (f" {finding.fix}" if finding.fix else ""))
    for action in made.actions:
        if isinstance(action, Leave) and not how.some:
            progress.say(f"{action.stack.name} is left as it is: {action.student} is not in the roster.")
    sleepers = _sleepers(connection, order, made.actions)
    if sleepers:
        progress.say(f"These machines sleep, and are left alone: {', '.join(sleepers)}. {WAKE}")
    keep_key(order.labels, reach.folder)
    task = Task(connection, order, made.ground, reach.deadline, how.clock)
    seats = ensure_shared(task, made.layout, progress)
    template = data_path("heat/student.yaml").read_text()
    job = Job(connection, order, made.ground, template, reach, seats, how.clock, how.check)
    return _launch(job, sleepers, how.ears, progress)


def _sleepers(connection: "Connection", order: Order, actions: Iterable[Action]) -> dict[str, Failed]:
    """Those whose machines stand and sleep: nobody can prove them, and waiting does not wake them."""
    kept = [action.stack for action in actions if isinstance(action, Keep)]
    sleeping = asleep(connection, order, kept) if kept else {}
    return {name: Failed(name, "asleep", f"its machine sleeps ({state})", WAKE) for name, state in sleeping.items()}


WAKE = "Wake them first: provision cohort resume COHORT"


def _launch(job: Job, sleepers: Mapping[str, Failed], ears: Ears, progress: Progress) -> tuple[Outcome, ...]:
    run, total = Run(clock=job.clock, ears=ears), len(job.order.students)
    run.failures = len(sleepers)
    run.outcomes |= sleepers
    for sleeper in sleepers.values():
        ears.end(sleeper)
    try:
        with progress.phase("Launching and proving machines") as phase:
            converge(job, run, phase, progress)
            phase.result(summary(run, len(job.students)))
    except KeyboardInterrupt:
        progress.say(f"Stopped: {summary(run, total)}. The cloud goes on making what was asked for; all of it stays.")
        raise
    finally:
        ready = {name: outcome.url for name, outcome in run.outcomes.items() if isinstance(outcome, Ready)}
        save_urls(job.reach.folder, ready)
        write_letters(job.reach.folder, job.order)
    return tuple(run.outcomes[student] for student in job.students)


def status(connection: "Connection", order: Order, *, folder: Path, deadline: float) -> tuple[Standing, ...]:
    """How every student's machine stands, and every other of the cohort; those that stand and are awake are proved."""
    stacks = observe_cohort(connection, order.cohort, order.labels)
    if not stacks:
        raise _no_cohort(order.cohort)
    actions = plan_cohort([student.id for student in order.students], stacks)
    reach = reach_of(order, folder, deadline)
    results: Results[Outcome] = SimpleQueue()
    crew = Crew(PROVERS, results)
    sleeping = asleep(connection, order, stacks)
    kept = [action.stack for action in actions if isinstance(action, Keep) and action.student not in sleeping]
    addresses = find_addresses(connection, order, kept)
    for stack in kept:
        crew.begin(partial(prove, connection, stack, reach, lambda _stage: None, addresses.get(stack.id, "")))
    outcomes = {outcome.student: outcome for _ in kept if (outcome := next_result(results))}
    for action in actions:
        if isinstance(action, Replace):
            outcomes[action.student] = failed_stack(connection, action.stack)
    standings = (
        Standing(action.student, action, outcomes.get(action.student), sleeping.get(action.student, ""))
        for action in actions
    )
    return (*standings, *_broken_networks(connection, order.cohort))


def _broken_networks(connection: "Connection", cohort: str) -> Iterator[Standing]:
    """The shared stacks with which something is wrong."""
    for stack in observe_shared(connection, cohort_tag(cohort)):
        if not stack.complete and stack.status != "CREATE_IN_PROGRESS":
            (action,) = plan_cohort([stack.student], [stack])
            yield Standing(stack.student, action, failed_stack(connection, stack))


def find_cohort(connection: "Connection", cohort: str) -> tuple[Stack, ...]:
    """All stacks of a cohort, pooled ones among them, the shared ones last. Raises NotFoundError if there is none."""
    tag = cohort_tag(cohort)
    stacks = (*observe_machines(connection, tag), *observe_shared(connection, tag))
    if not stacks:
        raise _no_cohort(cohort)
    return stacks


def delete(connection: "Connection", cohort: str, *, deadline: float, progress: Progress, clock: Clock = REAL) -> int:
    """Delete every machine of a cohort and prove that nothing which bears its tag is left; how many they were."""
    with hold(connection, cohort, "delete", clock, progress) as check:
        with progress.phase(f"Deleting {cohort}") as phase:
            count = delete_all(Deletion(connection, cohort, deadline, clock, check), phase.update)
        with progress.phase("Looking for what is left"):
            end_claims(connection, cohort, clock)
            left = observe_leftovers(connection, cohort_tag(cohort))
    if left:
        raise CloudError(
            "\n".join([f"The stacks of {cohort} are gone, but these are left:", *(f"  {each}" for each in left)]),
            hint="Detach what was attached to them by hand, and delete them: provision cohort gc COHORT",
        )
    return count


def _no_cohort(cohort: str) -> NotFoundError:
    return NotFoundError(
        f"Cohort {cohort} has no machines in this project.",
        hint="Is it the right cloud and project? If so: provision cohort launch COHORT",
    )
