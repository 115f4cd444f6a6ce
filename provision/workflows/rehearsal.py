"""The evening before: all that can be asked of a cloud, and one machine made as a student's is."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from provision.clock import REAL, Clock
from provision.cloud.network import tagged_mtus
from provision.cloud.stacks import observe_stacks, stack_seconds
from provision.core.checks import canary_failed, canary_ready
from provision.core.findings import REFUSAL, WARNING, Finding, in_order, of, unknown
from provision.core.naming import canary_cohort, cohort_tag
from provision.core.network_checks import mtu
from provision.core.outcome import Failed
from provision.core.places import Layout
from provision.core.privacy import Labels
from provision.core.roster import Student
from provision.errors import AuthenticationError, ProvisionError
from provision.progress import Progress
from provision.workflows.cohort import delete, find_actions, launch, wish
from provision.workflows.orders import Order
from provision.workflows.preflight import Ground, survey
from provision.workflows.projects import missing_projects

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

CANARY = Student("canary", "Canary", "canary@localhost")  # the only one of its cohort, so that no roster can hold it
TRIED_ALL_THE_SAME = ("quota", "addresses")  # what may be too little for all and enough for one


def preflight(
    connection: "Connection",
    order: Order,
    *,
    canary: bool,
    deadline: float,
    progress: Progress,
    clock: Clock = REAL,
) -> tuple[Finding, ...]:
    """Everything that a launch of the order would meet, in the order of core/findings.py."""
    if order.tenancy is not None:
        with progress.phase("Asking the cloud"):
            found = survey(connection, wish(order, (), Layout((), {})), thorough=True, probe=True, clock=clock)
            missing = missing_projects(connection, order)
        return in_order((*found.findings, *missing, unknown("canary", "each machine is made in a project of its own.")))
    with progress.phase("Asking the cloud"):
        wished = wish(order, *find_actions(connection, order))
        found = survey(connection, wished, thorough=True, probe=True, clock=clock)
    stopped = {finding.name for finding in of(REFUSAL, found.findings)} - {*TRIED_ALL_THE_SAME}
    if not canary:
        return in_order((*found.findings, unknown("canary", "it was left out (--no-canary).")))
    if stopped or found.ground is None:
        return in_order((*found.findings, unknown("canary", f"of what is refused: {', '.join(sorted(stopped))}.")))
    return in_order((*found.findings, *try_canary(connection, order, found.ground, deadline, progress, clock)))


def try_canary(
    connection: "Connection", order: Order, ground: Ground, deadline: float, progress: Progress, clock: Clock = REAL
) -> tuple[Finding, ...]:
    """Launch one machine as a student's is, prove it, and remove it, with all that an earlier canary has left."""
    choice = replace(order.choice, image=ground.image.id, flavor=ground.flavor.id, network=ground.network_id)
    name = canary_cohort(order.cohort)
    own = replace(order, cohort=name, students=(CANARY,), labels=Labels(), choice=choice)
    try:
        delete(connection, own.cohort, deadline=deadline, progress=progress, clock=clock)
        with TemporaryDirectory(prefix="provision-canary-") as folder:
            return _fly(connection, own, Path(folder), deadline, progress, clock)
    except AuthenticationError:
        raise
    except ProvisionError as exc:
        return (canary_failed("launch", exc.message, exc.hint or ""),)


def _fly(
    connection: "Connection", own: Order, folder: Path, deadline: float, progress: Progress, clock: Clock
) -> tuple[Finding, ...]:
    began = clock.now()
    try:
        (outcome,) = launch(connection, own, folder=folder, deadline=deadline, progress=progress, clock=clock)
        ready = clock.now() - began
        made = 0.0 if isinstance(outcome, Failed) else _made(connection, own)
        networks = _mtus(connection, own)
        end = clock.now()
    finally:  # also when a person has stopped it
        left = _remove(connection, own, deadline, progress, clock)
    if isinstance(outcome, Failed):
        return (canary_failed(outcome.stage, outcome.reason, outcome.hint), *networks, *left)
    return (canary_ready(made, ready, clock.now() - end), *networks, *left)


def _mtus(connection: "Connection", own: Order) -> list[Finding]:
    sizes = tagged_mtus(connection, cohort_tag(own.cohort))
    return [mtu(size, "a student's network") for size in dict.fromkeys(sizes)]


def _made(connection: "Connection", own: Order) -> float:
    """Seconds in which Heat made the stacks."""
    stacks = observe_stacks(connection, cohort_tag(own.cohort))
    return max((stack_seconds(connection, stack) for stack in stacks), default=0.0)


def _remove(
    connection: "Connection", own: Order, deadline: float, progress: Progress, clock: Clock
) -> Iterable[Finding]:
    try:
        delete(connection, own.cohort, deadline=deadline, progress=progress, clock=clock)
    except ProvisionError as exc:
        meaning = f"The canary machine is not removed: {exc.message}"
        return [Finding("canary", WARNING, meaning, exc.hint or "", "left")]
    return ()
