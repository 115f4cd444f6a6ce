"""Snapshots of one student's machine: images that Nova makes, known by their properties, and can write back."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from provision.clock import REAL, Clock
from provision.cloud.compute import create_image, rebuild_server
from provision.cloud.images import call, delete_image
from provision.core.naming import snapshot_name, stack_name
from provision.core.servers import Server
from provision.errors import CloudError, InvalidInputError, NotFoundError
from provision.progress import Progress
from provision.workflows.lifecycle import find_server
from provision.workflows.locking import hold
from provision.workflows.orders import Order
from provision.workflows.servers import Settling, settle

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

NAME, COHORT, OF = "provision_snapshot", "provision_cohort", "provision_snapshot_of"
POLL = 3.0  # seconds between two looks
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
T = TypeVar("T")
PAGE = 200  # images that one call shows


@dataclass(frozen=True)
class Snapshot:
    """`status` is Glance's: one that is not "active" is being made, or was given up. `size` in bytes, 0 if unknown."""

    id: str
    name: str
    created: str
    size: int
    status: str

    def age(self, now: datetime) -> float:
        """Seconds since it was made."""
        return (now - datetime.fromisoformat(self.created)).total_seconds()


def list_snapshots(connection: "Connection", order: Order, student: str) -> tuple[Snapshot, ...]:
    """The snapshots of a student's machine, the newest first. They outlive the machine."""
    query: dict[str, str | int] = {
        OF: stack_name(order.cohort, order.labels.label(student)),
        "owner": str(connection.current_project_id),  # who else may have named an image so is not asked
        "limit": PAGE,
    }
    answer = call(connection, "get", "/images", "Listing the snapshots", params=query)
    found = [
        Snapshot(each["id"], each[NAME], each["created_at"], each.get("size") or 0, each["status"])
        for each in answer.json()["images"]
        if each.get(NAME) and each.get(OF) == query[OF]
    ]
    return tuple(sorted(found, key=lambda each: each.created, reverse=True))


def find_snapshot(connection: "Connection", order: Order, student: str, name: str | None) -> Snapshot:
    """The usable snapshot of that name, or the newest. Raises NotFoundError, with those that there are."""
    there = list_snapshots(connection, order, student)
    for each in there:
        if each.status == "active" and name in (None, each.name):
            return each
    names = ", ".join(f"{each.name} ({each.status})" for each in there) or "none"
    raise NotFoundError(
        f"{student} has no usable snapshot{f' {name!r}' if name else ''}. There are: {names}.",
        hint="Make one: provision snapshot save COHORT STUDENT",
    )


def save(
    connection: "Connection",
    order: Order,
    student: str,
    name: str,
    *,
    deadline: float,
    progress: Progress,
    clock: Clock = REAL,
) -> Snapshot:
    """Make a snapshot of the student's machine as it is now, and wait until it can be used."""
    server = _server(connection, order, student)
    if not _NAME.fullmatch(name):
        raise InvalidInputError(f"{name!r} names no snapshot: up to 60 letters, digits and any of . _ - do.")
    if any(each.name == name for each in list_snapshots(connection, order, student)):
        raise InvalidInputError(
            f"{student} has a snapshot {name!r} already.", hint="Give another --name, or: provision snapshot delete"
        )
    stack = stack_name(order.cohort, order.labels.label(student))
    properties = {NAME: name, OF: stack, COHORT: order.cohort}
    with progress.phase(f"Saving {name}") as phase:
        create_image(connection, server, snapshot_name(stack, name), properties)

        def saved() -> Snapshot | None:
            found = [each for each in list_snapshots(connection, order, student) if each.name == name]
            if found and found[0].status in ("killed", "deleted"):
                raise CloudError(f"The cloud gave the snapshot {name!r} up ({found[0].status}).")
            phase.note(found[0].status if found else "asked for")
            return found[0] if found and found[0].status == "active" else None

        return _wait(saved, deadline, clock, f"The snapshot {name!r} is not done")


def restore(
    connection: "Connection",
    order: Order,
    student: str,
    snapshot: Snapshot,
    *,
    deadline: float,
    progress: Progress,
    clock: Clock = REAL,
) -> None:
    """Write a snapshot over the disk of the student's machine, and wait until that runs. What was on it is lost."""
    server = _server(connection, order, student)
    with hold(connection, order.cohort, "restore", clock, progress) as check:
        settling = Settling(connection, order.cohort, deadline, clock, check)
        with progress.phase("Waking the machine") as phase:  # Nova rebuilds none that sleeps
            _settle(settling, server, phase.update)
        with progress.phase(f"Restoring {snapshot.name}") as phase:
            rebuild_server(connection, server, snapshot.id)
            # Nova says that it is at work on it from its answer on.
            _settle(settling, server, phase.update)


def delete(connection: "Connection", snapshot: Snapshot) -> None:
    """Delete a snapshot; one that is gone is no error."""
    delete_image(connection, snapshot.id, f"Deleting the snapshot {snapshot.name}")


def _settle(settling: Settling, server: Server, on_count: Callable[[float, float, str], None]) -> None:
    settled = settle(settling, lambda each: "running" if each.id == server.id else None, on_count)
    refusal = settled[server.id][1] if server.id in settled else None
    if refusal or server.id not in settled:
        raise CloudError(
            f"Server {server.name} does not run: {refusal.reason if refusal else 'it is gone'}.",
            hint=(refusal.hint if refusal else None) or "See why: provision diagnose COHORT STUDENT",
        )


def _server(connection: "Connection", order: Order, student: str) -> Server:
    server = find_server(connection, order, student)
    if server is None:
        raise NotFoundError(
            f"Student {student!r} has no machine in cohort {order.cohort}.", hint="Make it: provision up COHORT STUDENT"
        )
    return server


def _wait(look: Callable[[], T | None], deadline: float, clock: Clock, words: str) -> T:
    """What `look` finds at last."""
    end = clock.now() + deadline
    while (found := look()) is None:
        if clock.now() > end:
            raise CloudError(
                f"{words} after {deadline:.0f} s.",
                hint="The cloud goes on. See: provision snapshot list COHORT STUDENT",
            )
        clock.sleep(POLL)
    return found
