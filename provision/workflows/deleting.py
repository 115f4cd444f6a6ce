"""The end of a cohort's stacks: asked for no faster than the cloud bears, and again when a request gets lost."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import inf
from queue import SimpleQueue
from typing import TYPE_CHECKING

from provision.clock import Clock
from provision.cloud.patience import patient
from provision.cloud.stacks import delete_stack, observe_machines, observe_shared, observe_stacks
from provision.core.naming import cohort_tag, student_tag
from provision.core.plan import Stack
from provision.errors import (
    AuthenticationError,
    BusyError,
    CloudError,
    ProvisionError,
    StudentsFailedError,
    UnsureError,
)
from provision.workflows import submitting
from provision.workflows.crew import Crew, Results, next_result
from provision.workflows.machine import failed_stack
from provision.workflows.run import GRACE
from provision.workflows.submitting import Line, new_line

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

PATIENCE = 600.0  # seconds for which the list call may fail
TRIES = 8  # how often a stack's end is asked for


@dataclass(frozen=True)
class Deletion:
    """Whose stacks are deleted. `deadline` is for how many seconds nothing may happen, `check` raises to stop it.

    With a student's `label` it is that one's machine alone, and what the cohort shares stays.
    """

    connection: "Connection"
    cohort: str
    deadline: float
    clock: Clock
    check: Callable[[], None] = lambda: None
    label: str | None = None


Result = tuple[str, ProvisionError | None]  # a stack's id, and the error that its request met


@dataclass
class _Run:
    """The stacks by id: those seen, when each was asked to end, how often, and why some never will."""

    line: Line
    progressed: float
    known: dict[str, Stack] = field(default_factory=dict)
    asked: dict[str, float] = field(default_factory=dict)
    tries: Counter[str] = field(default_factory=Counter)
    refused: dict[str, str] = field(default_factory=dict)
    results: Results[Result] = field(default_factory=SimpleQueue)


def delete_all(deletion: Deletion, on_count: Callable[[float, float, str], None]) -> int:
    """Ask for the end of every stack and wait until none is listed, of what they shared after them; how many they were.

    Raises StudentsFailedError with those that stay.
    """
    began = deletion.clock.now()
    run = _Run(new_line(began), began)
    crew = Crew[Result](submitting.SUBMITTERS, run.results, deletion.clock)
    with patient(deletion.connection):
        while stacks := _observe(deletion):
            _take_in(deletion, run, stacks)
            on_count(len(run.known) - len(stacks), len(run.known), "stacks")
            stuck = deletion.clock.now() > run.progressed + deletion.deadline
            if stuck or all(stack.id in run.refused for stack in stacks):
                raise _not_deleted(stacks, run.refused)
            age = deletion.clock.now() - began
            _ask_until(deletion, run, crew, deletion.clock.now() + submitting.look_again(run.line, len(run.known), age))
    on_count(len(run.known), len(run.known), "stacks")
    return len(run.known)


def _observe(deletion: Deletion) -> tuple[Stack, ...]:
    """The students' stacks and the pool's; when there are none, those that they shared."""
    tag, end = cohort_tag(deletion.cohort), deletion.clock.now() + PATIENCE
    while True:
        try:
            if deletion.label is not None:
                return observe_stacks(deletion.connection, tag, student_tag(deletion.label))
            return observe_machines(deletion.connection, tag) or observe_shared(deletion.connection, tag)
        except AuthenticationError:
            raise
        except CloudError:
            if deletion.clock.now() > end:
                raise
            deletion.clock.sleep(GRACE)


def _take_in(deletion: Deletion, run: _Run, stacks: tuple[Stack, ...]) -> None:
    now, listed = deletion.clock.now(), {stack.id for stack in stacks}
    for gone in [known for known in run.asked if known not in listed and known in run.line.open]:
        submitting.complete(run.line, gone, now)
        run.progressed = now
    for stack in stacks:
        if stack.id not in run.known:
            run.known[stack.id] = stack
            run.line.waiting.append(stack.id)
            run.progressed = now
        elif stack.status == "DELETE_FAILED" and now - run.asked.get(stack.id, inf) > GRACE:
            submitting.leave(run.line, stack.id)
            if stack.id not in run.refused:
                failed = failed_stack(deletion.connection, stack)
                run.refused[stack.id] = f"{failed.stage}: {failed.reason}"


def _ask_until(deletion: Deletion, run: _Run, crew: Crew[Result], due: float) -> None:
    """Ask for as many ends as the cloud bears until the next look is due."""
    while (left := due - deletion.clock.now()) > 0:
        deletion.check()
        while submitting.wait_for_next(run.line, deletion.clock.now()) <= 0:
            name = submitting.ask_next(run.line, deletion.clock.now())
            run.asked[name] = deletion.clock.now()
            crew.begin(partial(_ask, deletion.connection, run.known[name]))
        wait = min(left, submitting.wait_for_next(run.line, deletion.clock.now()))
        if result := next_result(run.results, wait, deletion.clock):
            _take_in_answer(deletion, run, *result)


def _take_in_answer(deletion: Deletion, run: _Run, name: str, error: ProvisionError | None) -> None:
    passing = isinstance(error, BusyError | UnsureError | AuthenticationError)
    if error and not passing:
        submitting.refused(run.line, name)
    else:
        submitting.answered(run.line, name, error, deletion.clock.now())
    if error is None:
        return
    run.tries[name] += not isinstance(error, BusyError)
    if passing and run.tries[name] < TRIES:
        run.line.waiting.append(name)  # of one that is gone already the cloud says so
    else:
        run.refused[name] = error.message


def _ask(connection: "Connection", stack: Stack) -> Result:
    try:
        delete_stack(connection, stack)
    except ProvisionError as exc:
        return stack.id, exc
    return stack.id, None


def _not_deleted(stacks: Iterable[Stack], refused: Mapping[str, str]) -> StudentsFailedError:
    lines = [f"  {stack.name}: {refused.get(stack.id, f'still {stack.status}')}" for stack in stacks]
    return StudentsFailedError(
        "\n".join(["Some stacks are not deleted:", *lines]),
        hint="Run the same command again; if it stays so, ask the cloud's operator about these stacks.",
    )
