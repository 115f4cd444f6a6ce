"""The loop that gives every student a machine: observe all stacks by one call, plan, act, until none is open."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

from provision.cloud.stacks import StackExistsError, create_stack, delete_stack
from provision.core.naming import cohort_tag, place_tag, server_name, stack_name, student_tag
from provision.core.outcome import Failed, Outcome
from provision.core.plan import Action, Create, Keep, Leave, Remove, Replace, Stack, Wait, plan_cohort
from provision.core.roster import Student
from provision.errors import AuthenticationError, CloudError, ProvisionError
from provision.guests.credentials import jupyter_hash
from provision.progress import Phase, Progress
from provision.workflows.crew import Crew, Results, next_result
from provision.workflows.handouts import Handout, ensure_handouts, public_key_file
from provision.workflows.labels import observe_cohort
from provision.workflows.machine import Reach, failed_stack, prove, stuck_stack
from provision.workflows.orders import Order
from provision.workflows.preflight import Ground
from provision.workflows.shared import Seat, network_parameters, seat_of

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

SUBMITTERS, PROVERS = 8, 16
POLL = 3.0  # seconds between two list calls
PATIENCE = 360.0  # seconds for which the list call may fail before the run gives up
GRACE = 10.0  # seconds after which an old state is no longer mistaken for the new request's


@dataclass(frozen=True)
class Job:
    """What every machine of a run is made with. `seats` say where each new one goes, if students share networks."""

    connection: "Connection"
    order: Order
    ground: Ground
    template: str
    reach: Reach
    seats: Mapping[str, Seat | Failed] = field(default_factory=dict)

    @cached_property
    def students(self) -> dict[str, Student]:
        """The students by id, in the roster's order."""
        return {student.id: student for student in self.order.students}


@dataclass(frozen=True)
class Done:
    """A request was answered. `exists` says that Heat has a stack of the name already."""

    student: str
    exists: bool = False


@dataclass
class Run:
    """Who works, what was begun (by student and step, at which time), and how it ended for whom."""

    results: Results[Outcome | Done] = field(default_factory=SimpleQueue)
    begun: dict[tuple[str, str], float] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    pending: int = 0
    told: str = ""

    def begin(self, crew: Crew[Outcome | Done], task: Callable[[], Outcome | Done]) -> None:
        """Give a task to a crew; `pending` counts those that have not returned."""
        self.pending += 1
        crew.begin(task)

    def first(self, student: str, step: str) -> bool:
        """Whether `step` is begun for the student only now: each is, once a run."""
        if (student, step) in self.begun:
            return False
        self.begun[student, step] = time.monotonic()
        return True

    def age(self, student: str, step: str) -> float:
        """Seconds since the step began; 0 if it did not."""
        now = time.monotonic()
        return now - self.begun.get((student, step), now)


@dataclass(frozen=True)
class Crews:
    """Those who ask the cloud, and those who wait for machines."""

    submit: Crew[Outcome | Done]
    prove: Crew[Outcome | Done]


def converge(job: Job, run: Run, phase: Phase, progress: Progress) -> None:
    """Act until `run.outcomes` has an outcome for every student."""
    crews = Crews(Crew(SUBMITTERS, run.results), Crew(PROVERS, run.results))
    answered = time.monotonic()
    while run.pending or len(run.outcomes) < len(job.students):
        stacks = _observe(job, run, silent=time.monotonic() - answered)
        if stacks is not None:
            answered = time.monotonic()
            actions = plan_cohort(job.students, stacks)
            _prepare_handouts(job, actions)
            for action in actions:
                if isinstance(action, Remove) or action.student not in run.outcomes:
                    _act(job, run, crews, action)
        _collect(run, len(job.students), phase, progress)


def _observe(job: Job, run: Run, *, silent: float) -> tuple[Stack, ...] | None:
    """The cohort's stacks; None when nobody waits for one, or the cloud does not answer for the moment."""
    if all(student in run.outcomes or (student, "prove") in run.begun for student in job.students):
        return None
    try:
        return observe_cohort(job.connection, job.order.cohort, job.order.labels)
    except AuthenticationError:
        raise
    except CloudError:
        if silent > PATIENCE:
            raise
        return None


def _prepare_handouts(job: Job, actions: tuple[Action, ...]) -> None:
    """Write down the passwords of all who get a machine now, before any of them is asked for."""
    user, scheme, known = job.order.course.user.name, job.order.course.scheme, job.reach.handouts
    right = {student for student, handout in known.items() if (handout.user, handout.scheme) == (user, scheme)}
    making = [action.student for action in actions if isinstance(action, Create | Replace)]
    if new := [job.students[student] for student in making if student not in right]:
        known.update(ensure_handouts(job.reach.folder, new, user, scheme))


def _act(job: Job, run: Run, crews: Crews, action: Action) -> None:
    name = action.student
    match action:
        case Create():
            if isinstance(seat := seat_of(job.order, job.seats, name), Failed):
                run.outcomes[name] = seat
            elif run.first(name, "create"):
                run.begin(crews.submit, lambda: _create(job, job.students[name]))
            elif name in run.taken:
                run.outcomes[name] = _foreign(job, name)
            else:
                _missing(job, run, name)
        case Replace(stack=stack):
            _replace(job, run, crews, stack)
        case Wait(stack=stack):
            _wait(job, run, crews, stack, f"its stack is still {stack.status}")
        case Keep(stack=stack):
            if run.first(name, "prove"):
                note = partial(_note, run, name)
                run.begin(crews.prove, lambda: prove(job.connection, stack, job.reach, note))
        case Remove(stack=stack):
            if run.first(name, f"remove {stack.id}"):
                run.begin(crews.submit, lambda: _delete(job, stack))
        case Leave():
            pass


def _replace(job: Job, run: Run, crews: Crews, stack: Stack) -> None:
    """A stack that failed before this run is deleted; one that fails in it, or cannot be deleted, is an outcome."""
    name = stack.student
    stuck = stack.status == "DELETE_FAILED" and run.age(name, "delete") > GRACE
    if stuck or (name, "create") in run.begun:
        if run.first(name, "ask why"):
            run.begin(crews.submit, lambda: failed_stack(job.connection, stack, job.ground.facts))
    elif stack.status != "DELETE_IN_PROGRESS" and run.first(name, "delete"):
        run.begin(crews.submit, lambda: _delete(job, stack))
    else:
        _wait(job, run, crews, stack, f"its old stack is still {stack.status}")


def _wait(job: Job, run: Run, crews: Crews, stack: Stack, words: str) -> None:
    """Leave a stack alone until the deadline; then ask what it waits for."""
    name = stack.student
    run.first(name, "wait")
    if run.age(name, "wait") > job.reach.deadline and run.first(name, "ask why"):
        late = f"{words} after {job.reach.deadline:.0f} s"
        run.begin(crews.submit, lambda: stuck_stack(job.connection, stack, late))


def _missing(job: Job, run: Run, name: str) -> None:
    if run.age(name, "create") > job.reach.deadline:
        hint = f"Look for it with: openstack stack list --tags {student_tag(job.order.labels.label(name))}"
        words = f"its stack does not appear within {job.reach.deadline:.0f} s"
        run.outcomes[name] = Failed(name, "stack", words, hint)


def _foreign(job: Job, name: str) -> Failed:
    stack = stack_name(job.order.cohort, job.order.labels.label(name))
    return Failed(
        name,
        "create",
        f"a stack {stack} exists, but it does not bear this cohort's tag",
        f"If nobody needs it: openstack stack delete {stack}. Then run the same command again.",
    )


def _create(job: Job, student: Student) -> Outcome | Done:
    cohort, handout, label = job.order.cohort, job.reach.handouts[student.id], job.order.labels.label(student.id)
    seat = job.seats.get(student.id)
    place = [place_tag(seat.stack)] if isinstance(seat, Seat) else []
    try:
        create_stack(
            job.connection,
            stack_name(cohort, label),
            job.template,
            stack_parameters(job, student, handout),
            cohort_tag(cohort),
            student_tag(label),
            *place,
        )
    except StackExistsError:
        return Done(student.id, exists=True)
    except ProvisionError as exc:
        return Failed(student.id, "create", exc.message, exc.hint or "")
    return Done(student.id)


def stack_parameters(job: Job, student: Student, handout: Handout) -> dict[str, str]:
    """What heat/student.yaml is given for one student: no name, no email, and of secrets only the hash."""
    label = job.order.labels.label(student.id)
    own = public_key_file(job.reach.folder, student.id).read_text()
    keys = dict.fromkeys([*student.ssh_keys, " ".join(own.split()[:2])])
    return {
        "student": label,
        "server_name": server_name(job.order.cohort, label),
        "tag": cohort_tag(job.order.cohort),
        "image": job.ground.image.id,
        "flavor": job.ground.flavor.id,
        "external_network": job.ground.network_id,
        "password_hash": jupyter_hash(handout.password),
        "ssh_keys": ",".join(keys),
        **network_parameters(job.order.shape, job.seats.get(student.id)),
    }


def _delete(job: Job, stack: Stack) -> Outcome | Done:
    try:
        delete_stack(job.connection, stack)
    except ProvisionError as exc:
        return Failed(stack.student, "delete", exc.message, exc.hint or "")
    return Done(stack.student)


def _note(run: Run, student: str, stage: str) -> None:
    run.stages[student] = stage


def _collect(run: Run, total: int, phase: Phase, progress: Progress) -> None:
    """Take in what the threads return until the next list call is due, or everything is known."""
    due = time.monotonic() + POLL
    while (left := due - time.monotonic()) > 0 and (run.pending or len(run.outcomes) < total):
        _tell(run, total, phase)
        result = next_result(run.results, left)
        run.pending -= result is not None
        if isinstance(result, Done):
            if result.exists:
                run.taken.add(result.student)
        elif result is not None:
            run.outcomes[result.student] = result
            progress.say(announce(result))


def _tell(run: Run, total: int, phase: Phase) -> None:
    words = summary(run, total)
    if words != run.told:
        phase.note(words)
        run.told = words


def announce(outcome: Outcome) -> str:
    """One line on how it ended for a student."""
    if isinstance(outcome, Failed):
        return f"{outcome.student}: failed at {outcome.stage}: {outcome.reason}"
    return f"{outcome.student}: ready at {outcome.url}"


def summary(run: Run, total: int) -> str:
    """How far the run is, in a few words."""
    failed = sum(isinstance(outcome, Failed) for outcome in run.outcomes.values())
    proving = [student for student, step in run.begun if step == "prove" and student not in run.outcomes]
    stages = [run.stages.get(student, "network") for student in proving]
    waiting = total - len(run.outcomes) - len(stages)
    parts = [f"{len(run.outcomes) - failed} of {total} ready"]
    parts += [f"{waiting} being made"] if waiting else []
    parts += [f"{stages.count(stage)} at {stage}" for stage in dict.fromkeys(sorted(stages))]
    parts += [f"{failed} failed"] if failed else []
    return ", ".join(parts)
