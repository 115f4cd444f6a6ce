"""One student's machine: how to reach it, whether it is ready, and why it is not."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from provision.cloud.network import addresses_by_port
from provision.cloud.stacks import observe_stacks, stack_fault, stack_outputs, stack_waits
from provision.core.diagnosis import NOTHING, Facts, explain
from provision.core.naming import cohort_tag, stack_of_port, student_tag
from provision.core.outcome import Failed, Outcome, Ready
from provision.core.plan import Stack, plan_cohort
from provision.core.privacy import Labels, recognised
from provision.core.shape import gateway_ports
from provision.errors import AuthenticationError, CloudError, NotFoundError, NotReadyError, ProvisionError
from provision.guests.access import Access
from provision.guests.probes import Stage, prove_ready
from provision.guests.probes import stages as open_stages
from provision.workflows.handouts import Handout, access_to, handout_file, read_handouts
from provision.workflows.orders import Order

if TYPE_CHECKING:
    from provision.cloud.connection import Connection


FEW = 2  # calls for addresses that two lists would take as well


@dataclass(frozen=True)
class Reach:
    """The handouts by which machines are reached, the seconds that one may take to prove itself, and what it proves.

    Without `stages` that is all of them.
    """

    folder: Path
    handouts: dict[str, Handout]
    deadline: float
    stages: tuple[Stage, ...] | None = None


def reach_of(order: Order, folder: Path, deadline: float, stages: tuple[Stage, ...] | None = None) -> Reach:
    """How machines are reached, and what is proved of them: without `stages` all that their network lets through."""
    open_ = open_stages(ssh=order.shape.ssh_cidr is not None)
    return Reach(folder, read_handouts(folder), deadline, open_ if stages is None else stages)


def find_addresses(connection: "Connection", order: Order, stacks: Collection[Stack]) -> dict[str, str]:
    """The public addresses of machines that have their own, by their stacks' ids: by two calls, however many they are.

    What is not plain from the lists is missing: of two stacks of one name, or of what was changed by hand. Its stack
    knows. Likewise behind a gateway, of so few that asking each costs no more, and where the lists cannot be had.
    """
    if order.shape.gateway or len(stacks) <= FEW:
        return {}
    try:
        by_port = addresses_by_port(connection, cohort_tag(order.cohort))
    except AuthenticationError:
        raise
    except ProvisionError:
        return {}
    found: dict[str, list[str]] = {}
    for port, addresses in by_port.items():
        found.setdefault(stack_of_port(port), []).extend(addresses)
    return {stack.id: found[stack.name][0] for stack in stacks if len(found.get(stack.name, ())) == 1}


def prove(
    connection: "Connection", stack: Stack, reach: Reach, on_stage: Callable[[str], None], address: str = ""
) -> Outcome:
    """Whether the machine of a complete stack is ready, proved from outside as its student will use it.

    Where its public `address` is not known, its stack is asked.
    """
    handout = reach.handouts.get(stack.student)
    if handout is None:
        return _no_handout(stack, reach.folder)
    try:
        access = (
            access_to(handout, reach.folder, address, stack)
            if address
            else _access(connection, stack, handout, reach.folder)
        )
        prove_ready(access, deadline=reach.deadline, on_stage=on_stage, stages=reach.stages)
    except NotReadyError as exc:
        return Failed(stack.student, exc.stage, exc.message, exc.hint or "")
    except ProvisionError as exc:
        return Failed(stack.student, "address", exc.message, exc.hint or "")
    return Ready(stack.student, access.url)


def failed_stack(connection: "Connection", stack: Stack, facts: Facts = NOTHING) -> Failed:
    """The resource at which a stack failed, in the cloud's words and in ours, with the numbers of `facts`."""
    try:
        fault = stack_fault(connection, stack)
    except ProvisionError as exc:
        return Failed(stack.student, "stack", stack.reason or stack.status, exc.message)
    known = explain(fault.reason, facts)
    reason = f"{known.meaning} The cloud says: {fault.reason}" if known else fault.reason
    hint = known.hint if known else f"Look at it with: openstack stack failures list {stack.name}"
    return Failed(stack.student, fault.resource, reason, hint)


def stuck_stack(connection: "Connection", stack: Stack, words: str) -> Failed:
    """A stack that took too long, and what it waits for; `words` say for how long."""
    try:
        waits = "; ".join(stack_waits(connection, stack))
    except ProvisionError as exc:
        waits = exc.message
    hint = f"Look at it with: openstack stack event list {stack.name}"
    return Failed(stack.student, "stack", f"{words}; it waits for {waits}" if waits else words, hint)


def find_stack(connection: "Connection", cohort: str, student: str, labels: Labels) -> Stack:
    """The stack of a student's machine. Raises NotFoundError where there is none."""
    stacks = recognised(observe_stacks(connection, cohort_tag(cohort), student_tag(labels.label(student))), labels)
    if not stacks:
        key = f" Is {labels.place} the key of the launch that made it?" if labels.key else ""
        raise NotFoundError(
            f"Student {student!r} has no machine in cohort {cohort}.",
            hint=f"See who has one: provision cohort status COHORT.{key}",
        )
    (action, *_) = plan_cohort([student], stacks)
    return next(stack for stack in stacks if stack == getattr(action, "stack", None))


def find_machine(connection: "Connection", cohort: str, student: str, folder: Path, labels: Labels) -> Access:
    """The way into a student's machine. Raises NotFoundError where there is no stack or no handout for it."""
    stack = find_stack(connection, cohort, student, labels)
    return access_of(connection, stack, Reach(folder, read_handouts(folder), 0.0))


def access_of(connection: "Connection", stack: Stack, reach: Reach) -> Access:
    """The way into a stack's machine. Raises NotFoundError where there is no handout for it."""
    handout = reach.handouts.get(stack.student)
    if handout is None:
        failed = _no_handout(stack, reach.folder)
        raise NotFoundError(f"Student {stack.student!r}: {failed.reason}.", hint=failed.hint)
    return _access(connection, stack, handout, reach.folder)


def _access(connection: "Connection", stack: Stack, handout: Handout, folder: Path) -> Access:
    return access_by(stack_outputs(connection, stack), stack, handout, folder)


def access_by(outputs: Mapping[str, str], stack: Stack, handout: Handout, folder: Path) -> Access:
    """The student's own way in: straight to the machine's public address, or through the gateway of its network."""
    address = outputs.get("address")
    if not address:
        raise CloudError(f"Stack {stack.name} is {stack.status} and has no address.")
    access = access_to(handout, folder, address, stack)
    if not outputs.get("gateway"):
        return access
    web, ssh = gateway_ports(outputs["inner_address"])
    return replace(access, web_port=web, ssh_port=ssh)


def _no_handout(stack: Stack, folder: Path) -> Failed:
    return Failed(
        stack.student,
        "handout",
        f"the machine exists, but its password is not in {handout_file(folder)}",
        f"Name the folder of the launch that made it (--handout), or delete it (openstack stack delete {stack.name}) "
        "and launch again.",
    )
