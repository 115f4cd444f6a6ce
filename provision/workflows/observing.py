"""A cohort with all that its stacks made, by six list calls, however many its students are."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from provision.cloud.compute import observe_servers
from provision.cloud.network import observe_addresses, observe_groups, observe_ports
from provision.cloud.stacks import observe_shared
from provision.core.drift import Parts
from provision.core.naming import cohort_tag
from provision.core.plan import Create, Stack, plan_cohort
from provision.errors import NotFoundError
from provision.workflows.labels import observe_cohort
from provision.workflows.orders import Order
from provision.workflows.servers import whose

if TYPE_CHECKING:
    from provision.cloud.connection import Connection


def observe_all(connection: "Connection", order: Order) -> tuple[tuple[Stack, ...], tuple[Stack, ...], Parts]:
    """The students' stacks, those that they share, and what all of them made. Raises NotFoundError if there is none."""
    stacks = observe_standing(connection, order)
    tag = cohort_tag(order.cohort)
    shared, servers = observe_shared(connection, tag), observe_servers(connection, tag)
    parts = Parts(
        servers,
        whose(servers, (*stacks, *shared), order.cohort),
        observe_ports(connection, tag),
        observe_addresses(connection, tag),
        observe_groups(connection, tag),
    )
    return stacks, shared, parts


def observe_standing(connection: "Connection", order: Order) -> tuple[Stack, ...]:
    """The students' stacks. Raises NotFoundError if there is none."""
    stacks = observe_cohort(connection, order.cohort, order.labels)
    if not stacks:
        raise NotFoundError(
            f"Cohort {order.cohort} has no machines in this project.",
            hint="Is it the right cloud and project? If so: provision cohort launch COHORT",
        )
    return stacks


def observe_chosen(connection: "Connection", order: Order, students: Sequence[str]) -> tuple[Stack, ...]:
    """The stack of each of these students, of all if none is named. Raises NotFoundError for who has none."""
    found = observe_standing(connection, order)
    stacks: dict[str, Stack] = {}
    for action in plan_cohort(list(dict.fromkeys(stack.student for stack in found)), found):
        if not isinstance(action, Create):
            stacks.setdefault(action.student, action.stack)
    if missing := [student for student in students if student not in stacks]:
        raise NotFoundError(
            f"No machine in cohort {order.cohort}: {', '.join(missing)}.",
            hint="See who has one: provision cohort status COHORT",
        )
    return tuple(stacks[student] for student in students or stacks)
