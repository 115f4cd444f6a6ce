"""The loop that gives every student a machine: observe all stacks by one call, plan, act, until none is open."""

from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from provision.cloud.patience import patient
from provision.core.naming import stack_name, student_tag
from provision.core.outcome import Failed
from provision.core.plan import Action, Create, Keep, Leave, Remove, Replace, Stack, Wait, plan_cohort
from provision.errors import AuthenticationError, CloudError
from provision.progress import Phase, Progress
from provision.workflows import submitting
from provision.workflows.answers import remake, take_in_answer
from provision.workflows.asking import Job, create, delete
from provision.workflows.crew import Crew, next_result
from provision.workflows.handouts import ensure_handouts
from provision.workflows.labels import observe_cohort
from provision.workflows.machine import failed_stack, find_addresses, prove, stuck_stack
from provision.workflows.run import GRACE, Answered, Found, Result, Run, Seen, Why, tell
from provision.workflows.shared import seat_of

if TYPE_CHECKING:
    pass

PROVERS = 16
PATIENCE = 600.0  # seconds for which the list call may fail before the run gives up
ADDRESS_TRIES = 2  # how often a machine's address is asked for again
BLIND = 30.0  # seconds that a list call may take before nothing more is asked for


@dataclass(frozen=True)
class Crews:
    """Those who ask the cloud, those who wait for machines, and the one who looks at all stacks."""

    submit: Crew[Result]
    prove: Crew[Result]
    look: Crew[Result]


def converge(job: Job, run: Run, phase: Phase, progress: Progress) -> None:
    """Act until `run.outcomes` has an outcome for every student."""
    crews = Crews(*(Crew(size, run.results, job.clock) for size in (submitting.SUBMITTERS, PROVERS, 1)))
    with patient(job.connection):
        while _join(job, run) or run.pending or len(run.outcomes) < len(job.students):
            job.check()
            _look(job, run, crews)
            _submit(job, run, crews)
            tell(run, len(job.students), phase)
            if (result := next_result(run.results, _idle(run), run.clock)) is not None:
                run.pending -= 1
                _take_in(job, run, crews, result, progress)


def _join(job: Job, run: Run) -> bool:
    """Take in who came since; whether anybody did. Where networks are shared, seats are found before a launch."""
    if job.order.shape.shared:
        return False
    new = {student.id: student for student in run.ears.more() if student.id not in job.students}
    job.students.update(new)
    if new:
        run.due = min(run.due, run.clock.now())
    return bool(new)


def _idle(run: Run) -> float:
    """Seconds until something is to be done even if nothing comes back."""
    now = run.clock.now()
    look = run.due - now if run.looking is None else inf
    submit = inf if _is_blind(run) else submitting.wait_for_next(run.line, now)
    return max(0.0, min(look, submit, run.ears.pause))


def _is_blind(run: Run) -> bool:
    """Whether the cloud has not said for a while what is there."""
    return run.looking is not None and run.clock.now() - run.looking > BLIND


def _look(job: Job, run: Run, crews: Crews) -> None:
    """List all stacks when it is time, in a thread of its own: what else comes back need not wait for it."""
    now = run.clock.now()
    if run.looking is not None or now < run.due:
        return
    if all(name in run.outcomes or (name, "prove") in run.begun for name in job.students):
        run.due = inf  # nobody waits for a stack any more
        return
    run.looking = now
    run.begin(crews.look, partial(_list, job, now))


def _list(job: Job, now: float) -> Seen:
    try:
        return Seen(now, observe_cohort(job.connection, job.order.cohort, job.order.labels))
    except AuthenticationError:
        raise  # a new token was asked for already: the credential is refused for good
    except CloudError as exc:
        return Seen(now, error=exc)


def _submit(job: Job, run: Run, crews: Crews) -> None:
    """Ask for as many as the cloud bears now."""
    while not _is_blind(run) and submitting.wait_for_next(run.line, run.clock.now()) <= 0:
        student = job.students[submitting.ask_next(run.line, run.clock.now())]
        run.begin(crews.submit, partial(create, job, student))


def _take_in(job: Job, run: Run, crews: Crews, result: Result, progress: Progress) -> None:
    match result:
        case Seen():
            _take_in_stacks(job, run, crews, result, progress)
        case Answered():
            take_in_answer(run, result, progress)
        case Found():
            _prove(job, run, crews, result)
        case Failed(student=name, stage="address") if run.tries[name, "prove"] < ADDRESS_TRIES:
            run.tries[name, "prove"] += 1  # the cloud was out for longer than a read has patience
            run.stages.pop(name, None)
            run.again(name, "prove")
            run.due = min(run.due, run.not_before[name, "prove"])
        case Why(failed=failed) if result.stuck or not remake(run, failed):
            run.end(failed, progress)
        case Why():
            pass
        case _:
            run.end(result, progress)


def _take_in_stacks(job: Job, run: Run, crews: Crews, seen: Seen, progress: Progress) -> None:
    """Plan and act on what is there; an error is borne for a while."""
    run.looking, now = None, run.clock.now()
    run.due = now + submitting.look_again(run.line, len(job.students), now - run.began)
    if seen.error:
        if now - run.seen > PATIENCE:
            raise seen.error
        return
    run.seen = seen.at
    actions = plan_cohort(job.students, seen.stacks)
    _prepare_handouts(job, actions)
    for action in actions:
        if isinstance(action, Remove) or action.student not in run.outcomes:
            _act(job, run, crews, action, progress)
    if run.fresh:
        run.begin(crews.submit, partial(_find, job, tuple(run.fresh)))
        run.fresh.clear()


def _find(job: Job, stacks: tuple[Stack, ...]) -> Found:
    return Found(stacks, find_addresses(job.connection, job.order, stacks))


def _prove(job: Job, run: Run, crews: Crews, found: Found) -> None:
    for stack in found.stacks:
        note, address = partial(run.reach, stack.student), found.addresses.get(stack.id, "")
        run.begin(crews.prove, partial(prove, job.connection, stack, job.reach, note, address))


def _prepare_handouts(job: Job, actions: tuple[Action, ...]) -> None:
    """Write down the passwords of all who get a machine now, before any of them is asked for."""
    user, scheme, known = job.order.course.user.name, job.order.course.scheme, job.reach.handouts
    right = {student for student, handout in known.items() if (handout.user, handout.scheme) == (user, scheme)}
    making = [action.student for action in actions if isinstance(action, Create | Replace)]
    if new := [job.students[student] for student in making if student not in right]:
        known.update(ensure_handouts(job.reach.folder, new, user, scheme))


def _act(job: Job, run: Run, crews: Crews, action: Action, progress: Progress) -> None:
    name = action.student
    match action:
        case Create():
            if isinstance(seat := seat_of(job.order, job.seats, name), Failed):
                run.end(seat, progress)
            elif name in run.taken and run.taken[name] < run.seen:
                run.end(_foreign(job, name), progress)
            elif run.first(name, "create"):
                run.line.waiting.append(name)
            else:
                _missing(job, run, name, progress)
        case Replace(stack=stack):
            _replace(job, run, crews, stack)
        case Wait(stack=stack):
            _wait(job, run, crews, stack, f"its stack is still {stack.status}")
        case Keep(stack=stack):
            submitting.complete(run.line, name, run.seen)
            if run.first(name, "prove"):
                run.reach(name, "address")
                run.fresh.append(stack)
        case Remove(stack=stack):
            if run.first(name, f"remove {stack.id}"):
                run.begin(crews.submit, partial(delete, job, stack, f"remove {stack.id}"))
        case Leave():
            pass


def _replace(job: Job, run: Run, crews: Crews, stack: Stack) -> None:
    """A stack that failed before this run is deleted; of one that fails in it, or cannot be deleted, is asked why."""
    name = stack.student
    stuck = stack.status == "DELETE_FAILED" and run.age(name, "delete") > GRACE
    if stuck or (name, "create") in run.begun:
        if run.first(name, "ask why"):
            run.begin(crews.submit, lambda: Why(failed_stack(job.connection, stack, job.ground.facts), stuck))
    elif stack.status != "DELETE_IN_PROGRESS" and run.first(name, "delete"):
        run.begin(crews.submit, partial(delete, job, stack, "delete"))
    else:
        _wait(job, run, crews, stack, f"its old stack is still {stack.status}")


def _wait(job: Job, run: Run, crews: Crews, stack: Stack, words: str) -> None:
    """Leave a stack alone until the deadline; then ask what it waits for."""
    name = stack.student
    run.first(name, "wait")
    if run.age(name, "wait") > job.reach.deadline and run.first(name, "ask why"):
        late = f"{words} after {job.reach.deadline:.0f} s"
        run.begin(crews.submit, lambda: stuck_stack(job.connection, stack, late))


def _missing(job: Job, run: Run, name: str, progress: Progress) -> None:
    """A create was taken, and its stack is not listed."""
    asked = run.line.open.get(name)
    if asked and run.clock.now() - asked.at > job.reach.deadline:
        hint = f"Look for it with: openstack stack list --tags {student_tag(job.order.labels.label(name))}"
        words = f"its stack does not appear within {job.reach.deadline:.0f} s"
        run.end(Failed(name, "stack", words, hint), progress)


def _foreign(job: Job, name: str) -> Failed:
    stack = stack_name(job.order.cohort, job.order.labels.label(name))
    return Failed(
        name,
        "create",
        f"a stack {stack} exists, but it does not bear this cohort's tag",
        f"If nobody needs it: openstack stack delete {stack}. Then run the same command again.",
    )
