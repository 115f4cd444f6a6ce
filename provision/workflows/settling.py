"""The story of claims that were killed: they are finished or undone, and nothing of them is left."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from provision.clock import Clock
from provision.cloud.claims import drop_claim, drop_place, observe_claims, renew_claim
from provision.cloud.stacks import Shown, show_stack
from provision.core.pool import Claim, settle
from provision.errors import AuthenticationError, ProvisionError
from provision.guests import caretaker
from provision.guests.credentials import jupyter_hash
from provision.workflows.handouts import public_key_file, read_handouts
from provision.workflows.pool import Guest, Pool, complete, give_up

if TYPE_CHECKING:
    from provision.cloud.connection import Connection

log = logging.getLogger(__name__)


def settle_claims(pool: Pool, on_stage: Callable[[str], None]) -> None:
    """Finish or undo the claims of those who were killed."""
    for claim in observe_claims(pool.connection, pool.order.cohort, pool.clock):
        shown = show_stack(pool.connection, claim.name, claim.stack)
        fate = settle(claim, shown.stack if shown else None)
        if fate == "drop" or shown is None:
            drop_claim(pool.connection, claim)
        elif fate == "undo":
            give_up(pool, claim, shown.stack)
        elif fate == "finish" and (guest := _known(pool, claim.student)):
            renew_claim(pool.connection, claim)
            _finish(pool, claim, shown, guest, on_stage)


def _finish(pool: Pool, claim: Claim, shown: Shown, guest: Guest, on_stage: Callable[[str], None]) -> None:
    """One that cannot be finished is left to its student, and does not keep the others from it."""
    try:
        complete(pool, claim, shown, guest, on_stage)
    except AuthenticationError:
        raise
    except ProvisionError as exc:
        log.warning("The claim on %s is not finished: %s", claim.name, exc.message)


def _known(pool: Pool, label: str) -> Guest | None:
    """Who is meant, as his handout and the roster say it; None where there is no handout: he is left to ask again."""
    student = pool.order.labels.student(label)
    handout = read_handouts(pool.folder).get(student)
    if handout is None or not public_key_file(pool.folder, student).is_file():
        return None
    own = " ".join(public_key_file(pool.folder, student).read_text().split()[:2])
    listed = next((each.ssh_keys for each in pool.order.students if each.id == student), ())
    keys = tuple(dict.fromkeys([*listed, own]))
    return Guest(handout, caretaker.Claim(label, jupyter_hash(handout.password), keys))


def end_claims(connection: "Connection", cohort: str, clock: Clock) -> None:
    """Let nothing of a cohort's claims be left: its machines are gone."""
    for claim in observe_claims(connection, cohort, clock):
        drop_claim(connection, claim)
    drop_place(connection)
