"""What the threads of a desk write down: how far a wish is, and how it ended."""

from collections.abc import Iterable
from queue import SimpleQueue
from typing import TypeVar

from sqlalchemy import func

from provision.core.outcome import Failed, Outcome, Ready
from provision.core.standing import CHECKS
from provision.errors import ProvisionError
from provision.workflows import wishes
from provision.workflows.desk import Desk
from provision.workflows.wishes import WISHES

T = TypeVar("T")


def fail_all(desk: Desk, students: Iterable[str], exc: Exception) -> None:
    """The same came between all of these and their machines; those who have one already do not notice."""
    message, hint = (exc.message, exc.hint or "") if isinstance(exc, ProvisionError) else (repr(exc), "")
    for name in students:
        end(desk, Failed(name, "cloud", message, hint))


def stage_of(desk: Desk, student: str, stage: str) -> None:
    """The proof came to a stage: that of the first check is when the course software answered."""
    now = desk.clock.now()
    if stage == "reserving":  # a machine that waits is not the student's yet
        wishes.note(desk.engine, student, desk.owner, stage=stage)
        return
    values = {"stage": stage, "made": func.coalesce(WISHES.c.made, now)}
    if stage in CHECKS:
        values["served"] = func.coalesce(WISHES.c.served, now)
    wishes.note(desk.engine, student, desk.owner, **values)


def end(desk: Desk, outcome: Outcome) -> None:
    """Write down how it ended for a student."""
    now = desk.clock.now()
    if isinstance(outcome, Ready):
        served = func.coalesce(WISHES.c.served, now)
        wishes.note(desk.engine, outcome.student, desk.owner, ended=now, served=served, url=outcome.url, stage="")
    else:
        how = {"stage": outcome.stage, "reason": outcome.reason, "hint": outcome.hint}
        wishes.note(desk.engine, outcome.student, desk.owner, ended=now, failed=True, **how)


def drain(queue: SimpleQueue[T]) -> list[T]:
    """All that is in a queue now."""
    found = []
    while not queue.empty():
        found.append(queue.get())
    return found
