"""Claims of pooled machines: a Neutron port with two addresses, the machine's and the student's, and of each is one.

So one call decides that nobody else is given the machine, and that the student is given no other. The addresses are
made of hashes, 63 bits of each: no two of a cloud's machines or students meet.
"""

import re
from contextlib import suppress
from hashlib import sha256
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Any

from provision.clock import Clock
from provision.cloud import apart
from provision.cloud.apart import Place, ask, is_taken, seconds, time_of
from provision.core.plan import Stack
from provision.core.pool import Claim
from provision.errors import CloudError, NotFoundError

if TYPE_CHECKING:
    from openstack.connection import Connection

NAME = "provision-claims"
_ADDRESSES = IPv6Network("fd70:726f:7669:7369::/64")  # unique local (RFC 4193): nobody routes them
_PLACE = Place(NAME, "Holds the claims of pooled machines. Goes with the last pool.", str(_ADDRESSES))
_BITS = 63  # of a hash; the one above them tells students from machines
_PORT = re.compile(r"machine (\S+) (\S+) for (\S*)")
ATTEMPTS = 5


def ensure_place(connection: "Connection", clock: Clock) -> str:
    """The id of the network on which claims are made. To make it takes seconds: whoever fills a pool does."""
    for _ in range(ATTEMPTS):
        try:
            return apart.ensure_network(connection, _PLACE, clock)
        except NotFoundError:
            continue  # the one who had it took it along
    raise CloudError(f"The network {NAME} comes and goes.", hint="Is a pool drained just now? Run the command again.")


def take_claim(
    connection: "Connection", place: str, cohort: str, stack: Stack, student: str, clock: Clock
) -> Claim | None:
    """Claim a pooled machine for a student (by the label that the cloud knows), or for nobody, who deletes it.

    None if either is in another's claim.
    """
    port = {
        "network_id": place,
        "name": claim_name(cohort),
        "description": f"machine {stack.name} {stack.id} for {student}",
        "fixed_ips": [{"ip_address": address} for address in _addresses(cohort, stack.id, student)],
        "admin_state_up": False,
    }
    try:
        response = ask(connection, "post", "/ports", "Claiming a machine", {"port": port})
    except CloudError as exc:
        if is_taken(exc):
            return None
        raise
    return _claim(response.json()["port"], time_of(response, clock))


def observe_claims(connection: "Connection", cohort: str, clock: Clock) -> tuple[Claim, ...]:
    """All claims under way in a cohort, by one call: those that were killed, too."""
    path = f"/ports?project_id={connection.current_project_id}&name={claim_name(cohort).replace(' ', '%20')}"
    response = ask(connection, "get", path, "Listing the claims")
    now = time_of(response, clock)
    found = (_claim(port, now) for port in response.json()["ports"])
    return tuple(claim for claim in found if claim)


def renew_claim(connection: "Connection", claim: Claim) -> None:
    """Say that somebody is at work on it. Raises NotFoundError if it is over."""
    body = {"port": {"description": f"machine {claim.name} {claim.stack} for {claim.student} ({claim.silent:.0f})"}}
    ask(connection, "put", f"/ports/{claim.port}", "Going on with a claim", body)


def drop_claim(connection: "Connection", claim: Claim) -> None:
    """End a claim; one that is over is no error."""
    with suppress(NotFoundError):
        ask(connection, "delete", f"/ports/{claim.port}", "Ending a claim")


def drop_place(connection: "Connection") -> None:
    """Take the network away, unless it holds claims."""
    apart.drop_network(connection, _PLACE)


def claim_name(cohort: str) -> str:
    """The name of a cohort's claims."""
    return f"provision claim {cohort}"


def _claim(port: Any, now: float) -> Claim | None:
    found = _PORT.match(port["description"])
    if not found:
        return None
    return Claim(port["id"], found[1], found[2], found[3], max(0.0, now - seconds(port["updated_at"])))


def _addresses(cohort: str, stack: str, student: str) -> tuple[str, ...]:
    machine = _address(f"machine {stack}", 0)
    return (machine, _address(f"student {cohort} {student}", 1)) if student else (machine,)


def _address(what: str, half: int) -> str:
    number = int.from_bytes(sha256(what.encode()).digest()[:8]) >> (64 - _BITS)
    return str(IPv6Address(int(_ADDRESSES.network_address) + (half << _BITS) + max(number, 2)))
