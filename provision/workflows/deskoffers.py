"""What a desk can do with machines of this toolkit's own images: hand out those that wait, set passwords, reset."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from provision.core.roster import Student
from provision.errors import NotFoundError
from provision.guests import caretaker
from provision.guests.access import Access
from provision.guests.pooled import bind_by
from provision.workflows.caretaking import door_of
from provision.workflows.desk import Offers
from provision.workflows.handouts import caretaker_key
from provision.workflows.lifecycle import find_stacks
from provision.workflows.orders import CohortFile, Order
from provision.workflows.pool import Pool, claim

if TYPE_CHECKING:
    from provision.cloud.connection import Connection


def make_offers(file: CohortFile, order: Order, connect: Callable[[], "Connection"]) -> Offers:
    """All of it; a claim only where cohort.toml has a pool."""
    pooled = file.said.pool.size or file.said.pool.timetable
    return Offers(
        claim=partial(_claim, file, order, connect) if pooled else None,
        set_password=lambda student, hash_: caretaker.set_password(_door(file, order, connect, student), hash_),
        reset=lambda student: caretaker.reset(_door(file, order, connect, student)),
    )


def _claim(
    file: CohortFile,
    order: Order,
    connect: Callable[[], "Connection"],
    student: Student,
    password_hash: str,
    keys: tuple[str, ...],
    on_stage: Callable[[str], None],
) -> Access | None:
    pool = Pool(connect(), order, file.folder, bind_by(caretaker_key(file.folder)))
    return claim(pool, student.id, password_hash, keys, on_stage)


def _door(file: CohortFile, order: Order, connect: Callable[[], "Connection"], student: str) -> caretaker.Door:
    connection = connect()
    for stack in find_stacks(connection, order, student):
        if stack.complete:
            return door_of(connection, stack, file.folder)
    raise NotFoundError(f"{student} has no machine that stands.", hint="Start it first.")
