"""How a cohort moves to another image: who is moved, who is not and why, in which waves, and when that is halted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from provision.core.plan import Action, Keep, Leave, Remove, Replace, Stack, Wait
from provision.core.servers import Server


@dataclass(frozen=True)
class Move:
    """A machine that gets the image, and its student's work back.

    `back_up`: the work is on the machine and is fetched first. Otherwise an earlier run did that, and was stopped
    before it gave the work back. `update`: Heat has to be asked for the image.
    """

    student: str
    stack: Stack
    back_up: bool = True
    update: bool = True


@dataclass(frozen=True)
class Stay:
    """A machine that is not moved. `wrong` says that it should be; without it, it is right as it is."""

    student: str
    why: str
    hint: str = ""
    wrong: bool = True


_REPAIR = "Run: provision cohort repair COHORT"


def plan_moves(
    actions: Iterable[Action], servers: Mapping[str, Server], image: str, kept: Mapping[str, str]
) -> tuple[Move | Stay, ...]:
    """What a rebuild to `image` does with each student's machine.

    `servers` by student; `kept` has, by student, the image for which an earlier run fetched work that it did not give
    back.
    """
    planned = (_plan(each, servers.get(each.student), image, kept.get(each.student)) for each in actions)
    return tuple(each for each in planned if each is not None)


def _plan(action: Action, server: Server | None, image: str, kept: str | None) -> Move | Stay | None:
    match action:
        case Remove():
            return None  # the stack that is kept is planned
        case Leave(student=student):
            return Stay(student, "is not in the roster", wrong=False)
        case Keep(stack=stack) | Wait(stack=stack):
            return _of_machine(stack, server, image, kept)
        case Replace(student=student, stack=stack):
            return Stay(student, f"its stack is {stack.status}", _REPAIR)
    return Stay(action.student, "has no machine", wrong=False)


def _of_machine(stack: Stack, server: Server | None, image: str, kept: str | None) -> Move | Stay:
    student = stack.student
    if server is None:
        return Stay(student, "its server is gone", _REPAIR)
    if server.asleep:
        return Stay(student, f"it sleeps ({server.status})", "Run: provision cohort resume COHORT")
    if kept is not None and server.image == kept:
        # The only copy of the student's work may be the one that we have: no other image before it is back.
        if kept != image:
            words = f"its student's work is still to be given back on image {kept}"
            return Stay(student, words, f"Run: provision cohort rebuild COHORT --image {kept}")
        return Move(student, stack, back_up=False, update=stack.status.endswith("_FAILED"))
    if stack.status.endswith("_IN_PROGRESS"):
        return Stay(student, f"its stack is {stack.status}", "Run the same command again when Heat is done.")
    if server.image == image:
        return Stay(student, "has the image", wrong=False)
    if server.status != "ACTIVE" or server.task:
        return Stay(student, f"its server is {server.status}{server.task and f', task {server.task}'}", _REPAIR)
    return Move(student, stack)


def waves(moves: Iterable[Move], size: int) -> tuple[tuple[Move, ...], ...]:
    """The moves in waves: who waits for work first of all, then one machine alone, then `size` at a time."""
    late, new = _split(list(moves))
    rest = new[1:]
    parts = [
        *(late[start : start + size] for start in range(0, len(late), size)),
        new[:1],
        *(rest[start : start + size] for start in range(0, len(rest), size)),
    ]
    return tuple(tuple(part) for part in parts if part)


def _split(moves: Sequence[Move]) -> tuple[list[Move], list[Move]]:
    return [each for each in moves if not each.back_up], [each for each in moves if each.back_up]


def halts(failed: int, wave: int, most: float) -> bool:
    """Whether `failed` of a wave's machines are more than `most` percent."""
    return failed * 100 > most * wave
