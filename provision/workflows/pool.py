"""The story of a claim: a machine that waits becomes a student's, and is given to nobody else, whoever is killed when.

First a port on the cloud excludes everybody else, from this machine and for this student. What the list calls said
before is looked at again behind it. Then the stack's tags say whose the machine is; then its caretaker makes it so, it
proves itself, and the port goes. So a port that stays behind is a claim that was killed: the same student's next one
goes on with it, and whoever keeps the pool settles it after a while.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from provision.clock import REAL, Clock
from provision.cloud.claims import drop_claim, ensure_place, observe_claims, renew_claim, take_claim
from provision.cloud.compute import note_on_server
from provision.cloud.stacks import Shown, delete_stack, observe_pool, observe_stacks, show_stack, tag_stack
from provision.core.naming import WARM_TAG, cohort_tag, student_tag
from provision.core.plan import Stack
from provision.core.pool import Claim
from provision.errors import (
    AuthenticationError,
    BusyError,
    CloudError,
    InvalidInputError,
    NotFoundError,
    ProvisionError,
    UnsureError,
)
from provision.guests import caretaker
from provision.guests.access import Access
from provision.guests.probes import Stage, prove_ready, stages
from provision.workflows.handouts import Handout, handout_file, read_handouts
from provision.workflows.machine import access_by
from provision.workflows.orders import Order

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

log = logging.getLogger(__name__)

Bind = Callable[
    [Access, caretaker.Claim], None
]  # makes the machine there the student's, as guests.caretaker.claim does

DEADLINE = 120.0  # seconds that a machine has to prove itself; with the binding less than core.pool.LEASE
PATIENCE = 30.0  # seconds after which another's claim for the same student, not heard of, is gone on with
LOOK = 1.0  # seconds between two looks at it
TRIES = 3  # machines that are no good, after which the student is better served by a cold launch


@dataclass(frozen=True)
class Pool:
    """A cohort's pool, as those see it who claim from it. `stages` are what is proved; without them, all."""

    connection: "Connection"
    order: Order
    folder: Path
    bind: Bind
    stages: tuple[Stage, ...] | None = None
    deadline: float = DEADLINE
    clock: Clock = REAL
    dice: Random = field(default_factory=Random, repr=False)

    @property
    def tag(self) -> str:
        """The cohort's."""
        return cohort_tag(self.order.cohort)


@dataclass(frozen=True)
class Guest:
    """Who claims, and how the machine is to know and to serve him."""

    handout: Handout
    claim: caretaker.Claim

    @property
    def label(self) -> str:
        """What the cloud calls him."""
        return self.claim.student


def claim(
    pool: Pool, student: str, password_hash: str, ssh_keys: Iterable[str], on_stage: Callable[[str], None]
) -> Access | None:
    """A machine for the student, proved ready: the same one however often it is asked for, None if none is left.

    The student has a handout already; `password_hash` is that of its password. `on_stage` is told "reserving",
    "binding", and then what is proved.
    """
    handout = read_handouts(pool.folder).get(student)
    if handout is None:
        raise NotFoundError(
            f"{student} has no handout in {handout_file(pool.folder)}: nobody would know the machine's password.",
            hint="Write it down first, as a launch does (handouts.ensure_handouts).",
        )
    guest = Guest(handout, caretaker.Claim(pool.order.labels.label(student), password_hash, tuple(ssh_keys)))
    on_stage("reserving")
    for _ in range(TRIES):
        found = _reserve(pool, guest.label)
        if found is None:
            return None
        held, shown = found
        if held is None:
            return _access(pool, shown, guest)
        if access := complete(pool, held, shown, guest, on_stage):
            return access
    return None


def _access(pool: Pool, shown: Shown, guest: Guest) -> Access:
    return access_by(shown.outputs, shown.stack, guest.handout, pool.folder)


def _reserve(pool: Pool, label: str) -> tuple[Claim | None, Shown] | None:
    """A machine and our claim on it; without one, if it is the student's already. None where none is left."""
    place, end = ensure_place(pool.connection, pool.clock), pool.clock.now() + pool.deadline
    free = _free(pool)
    while pool.clock.now() < end:
        stack = pool.dice.choice(free) if free else None
        claim = _take(pool, place, stack, label) if stack else None
        if claim is None:
            claims = observe_claims(pool.connection, pool.order.cohort, pool.clock)
            claim = next((each for each in claims if each.student == label), None)
            if claim is None:
                if not free:
                    return _own(pool, label)
                free = _unheld(free, claims) or _unheld(_free(pool), claims)
                continue
            # On the machine that we asked for it may be our own, whose answer was lost; if not, it comes to the same.
            if not (stack and claim.stack == stack.id) and _is_over(pool, claim):
                free = _free(pool)
                continue
        if shown := _check(pool, claim, label):
            return claim, shown
        if _alive(pool, label):  # perhaps a launch makes one just now
            return _own(pool, label)
        free = [each for each in free if each.id != claim.stack]
    raise UnsureError(
        f"No machine could be claimed within {pool.deadline:.0f} s: the cloud does not say who has which.",
        hint="Ask again: what was begun is gone on with.",
    )


def _free(pool: Pool) -> list[Stack]:
    """The machines that wait."""
    return [stack for stack in observe_pool(pool.connection, pool.tag, WARM_TAG) if stack.complete]


def _unheld(stacks: Iterable[Stack], claims: Iterable[Claim]) -> list[Stack]:
    held = {claim.stack for claim in claims}
    return [stack for stack in stacks if stack.id not in held]


def _take(pool: Pool, place: str, stack: Stack, label: str) -> Claim | None:
    """Our claim. None where there is none, or nobody knows: then the list of all claims tells."""
    try:
        return take_claim(pool.connection, place, pool.order.cohort, stack, label, pool.clock)
    except (BusyError, UnsureError) as exc:
        pool.clock.sleep(min(getattr(exc, "wait", None) or LOOK, PATIENCE))
        return None


def _is_over(pool: Pool, claim: Claim) -> bool:
    """Whether another's claim for the same student came to its end. Otherwise he is silent, and it is ours now."""
    while True:
        pool.clock.sleep(LOOK)
        claims = observe_claims(pool.connection, pool.order.cohort, pool.clock)
        now = next((each for each in claims if each.port == claim.port), None)
        if now is None:
            return True
        if now.silent > PATIENCE:
            try:
                renew_claim(pool.connection, now)
            except NotFoundError:
                return True
            return False


def _alive(pool: Pool, label: str) -> list[Stack]:
    """The student's stacks, but for those that go."""
    found = observe_stacks(pool.connection, pool.tag, student_tag(label))
    return [stack for stack in found if not stack.status.startswith("DELETE_")]


def _own(pool: Pool, label: str) -> tuple[None, Shown] | None:
    """The machine that is the student's already, if it stands."""
    for stack in _alive(pool, label):
        shown = show_stack(pool.connection, stack.name, stack.id) if stack.status != "CREATE_IN_PROGRESS" else None
        if shown and shown.outputs.get("address"):
            return None, shown
    return None


def _check(pool: Pool, claim: Claim, label: str) -> Shown | None:
    """The machine as it is now that nobody else can take it. If it is not to be had, the claim ends here."""
    shown = show_stack(pool.connection, claim.name, claim.stack)
    others = [stack for stack in _alive(pool, label) if stack.id != claim.stack]
    if shown and not shown.stack.status.startswith("DELETE_"):
        waits = shown.student is None and shown.stack.warm and shown.stack.complete
        if shown.student == label or (waits and not others):
            return shown
    drop_claim(pool.connection, claim)
    return None


def complete(pool: Pool, claim: Claim, shown: Shown, guest: Guest, on_stage: Callable[[str], None]) -> Access | None:
    """Say on the cloud whose the machine is, make it so, prove it. None if it is no good: then it is deleted.

    One that says it is another's is left alone: that must not be, and what is on it is his.
    """
    try:
        shown = _record(pool, shown, guest.label)
    except ProvisionError:
        now = show_stack(pool.connection, claim.name, claim.stack)
        if now and not now.stack.status.startswith("DELETE_"):
            raise
        drop_claim(pool.connection, claim)  # it was undone: we were taken for dead
        return None
    try:
        access = _access(pool, shown, guest)
        on_stage("binding")
        pool.bind(access, guest.claim)
        proofs = stages(ssh=pool.order.shape.ssh_cidr is not None) if pool.stages is None else pool.stages
        prove_ready(access, deadline=pool.deadline, on_stage=on_stage, stages=proofs)
    except caretaker.TakenError:
        raise
    except ProvisionError as exc:
        log.warning("%s is given up and deleted: %s", shown.stack.name, exc.message)
        give_up(pool, claim, shown.stack)
        if isinstance(exc, InvalidInputError | AuthenticationError):
            raise
        return None
    drop_claim(pool.connection, claim)
    return access


def _record(pool: Pool, shown: Shown, label: str) -> Shown:
    """Write whose it is into the stack's tags, and on the server for those who look there. Done already, it is not."""
    if shown.student is None:
        kept = [tag for tag in shown.tags if tag != WARM_TAG]
        tag_stack(pool.connection, shown.stack, [*kept, student_tag(label)])
        recorded = show_stack(pool.connection, shown.stack.name, shown.stack.id)
        if recorded is None or recorded.student != label:
            raise UnsureError(
                f"The cloud did not write down whose {shown.stack.name} is.", hint="Ask again: it is gone on with."
            )
    since = datetime.fromtimestamp(pool.clock.now(), UTC).isoformat(timespec="seconds")
    try:
        note_on_server(pool.connection, shown.outputs["server_id"], {"student": label, "claimed": since})
    except (CloudError, NotFoundError) as exc:
        log.warning("The server of %s does not say whose it is: %s", shown.stack.name, exc.message)
    return shown


def give_up(pool: Pool, claim: Claim, stack: Stack) -> None:
    """Delete a machine that is claimed, and then the claim: in between nobody else is given it."""
    delete_stack(pool.connection, stack)
    drop_claim(pool.connection, claim)
