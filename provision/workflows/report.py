"""The story of what a cohort has used, and what the next one will need: a few list calls, and arithmetic."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from provision.cloud.stacks import observe_pool
from provision.core.naming import cohort_tag
from provision.core.outcome import Failed
from provision.core.plan import Stack
from provision.core.usage import Usage, next_needs, usage
from provision.errors import CloudError, NotFoundError
from provision.progress import Silent
from provision.workflows.observing import observe_all
from provision.workflows.orders import CohortFile, Order
from provision.workflows.servers import whose
from provision.workflows.tenancy import across

if TYPE_CHECKING:
    from provision.cloud.connection import Connection


@dataclass(frozen=True)
class Report:
    """What each machine has used, and what the next cohort takes."""

    used: tuple[Usage, ...]
    needed: dict[str, int]


def report(connection: "Connection", file: CohortFile, order: Order, now: datetime, students: int | None) -> Report:
    """What a cohort has used, and what the next takes: of `students`, or of as many as are in the roster now."""
    stacks, shared, parts = observe_all(connection, order)
    said = file.said.cohort
    count = len(order.students) if students is None else students
    needed = next_needs(count, parts.servers, order.shape, (said.start, said.end))
    pooled = sorted(observe_pool(connection, cohort_tag(order.cohort)), key=_student)
    parts = replace(parts, owners={**parts.owners, **whose(parts.servers, pooled, order.cohort)})
    return Report(usage((*sorted(stacks, key=_student), *pooled, *shared), parts, now), needed)


def report_all(connection: "Connection", file: CohortFile, order: Order, now: datetime, students: int | None) -> Report:
    """The same of all projects, where each student has one. Raises CloudError if one cannot be asked."""
    count = len(order.students) if students is None else students
    made = across(
        connection,
        order,
        lambda inside, part, _: [report(inside, file, part, now, count)],
        _lost,
        words="Asking students' projects",
        progress=Silent(),
    )
    if not made:
        raise NotFoundError(f"Cohort {order.cohort} has no machines.", hint="Run: provision cohort launch COHORT")
    return Report(tuple(used for each in made for used in each.used), made[0].needed)


def _lost(why: Failed) -> Report:
    raise CloudError(f"{why.student}: {why.reason}", hint=why.hint)


def _student(stack: Stack) -> str:
    return stack.student
