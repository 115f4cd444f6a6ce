"""What is to be done: students wanted and stacks observed become actions, which plan, launch and status share."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Stack:
    """A student's stack as one list call shows it. `created` and `updated` are ISO 8601 in UTC, so that they sort.

    `place` is the id of the shared stack that it uses, if it does. A shared stack is a Stack, too, and so is
    a pooled machine's that is nobody's: its `student` is a label that no student has (see core/naming.py). One that is
    `warm` can be claimed.
    """

    id: str
    name: str
    student: str
    status: str
    reason: str
    created: str
    place: str = ""
    updated: str = ""
    warm: bool = False

    @property
    def complete(self) -> bool:
        """Whether Heat is done with it. That is not yet ready."""
        return self.status.endswith("_COMPLETE") and self.status != "DELETE_COMPLETE"


@dataclass(frozen=True)
class Create:
    """The student has no stack."""

    student: str


@dataclass(frozen=True)
class Wait:
    """Heat is at work on the student's stack."""

    student: str
    stack: Stack


@dataclass(frozen=True)
class Keep:
    """The student's stack stands; whether it is ready is for a proof to say."""

    student: str
    stack: Stack


@dataclass(frozen=True)
class Replace:
    """The student's stack never came to be, or half went: it is deleted, then created anew."""

    student: str
    stack: Stack


@dataclass(frozen=True)
class Remove:
    """A second stack of a student who has one already: two runs at once make them, for Heat lets both through."""

    student: str
    stack: Stack


@dataclass(frozen=True)
class Leave:
    """A stack whose student is not in the roster. Nothing is done to it; the person is told."""

    student: str
    stack: Stack


Action = Create | Wait | Keep | Replace | Remove | Leave


def plan_cohort(students: Iterable[str], stacks: Iterable[Stack]) -> tuple[Action, ...]:
    """The actions that give each of `students` one stack: one for each student, in order, then what is left over."""
    by_student: dict[str, list[Stack]] = {}
    for stack in stacks:
        by_student.setdefault(stack.student, []).append(stack)
    wanted: list[Action] = []
    others: list[Action] = []
    for student in students:
        own = sorted(by_student.pop(student, []), key=_rank)
        wanted.append(_action(student, own[0]) if own else Create(student))
        others += [Remove(student, double) for double in own[1:]]
    others += [Leave(student, stack) for student, rest in sorted(by_student.items()) for stack in rest]
    return (*wanted, *others)


def _rank(stack: Stack) -> tuple[bool, str, str]:
    """The older of two is kept, unless it failed."""
    return stack.status in _LOST, stack.created, stack.id


_LOST = ("CREATE_FAILED", "DELETE_FAILED", "DELETE_IN_PROGRESS")


def _action(student: str, stack: Stack) -> Action:
    if stack.status in _LOST:
        return Replace(student, stack)
    if stack.status.endswith("_IN_PROGRESS"):
        return Wait(student, stack)
    # Also UPDATE_FAILED and the like: the machine was handed out and may hold work. The proof says how it is.
    return Keep(student, stack)
