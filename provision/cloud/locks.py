"""A lock where two operators meet, the cloud itself: a Neutron port at one address of one network, of which one exists.

Measured: of eight that ask at once for a port with the same address on the same network one gets it, whoever they are.
"""

from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from provision.clock import Clock
from provision.cloud import apart
from provision.cloud.apart import Place, ask, is_taken, seconds, time_of
from provision.errors import CloudError, NotFoundError

if TYPE_CHECKING:
    from openstack.connection import Connection

NAME = "provision-locks"
WHAT = "Holds the locks of running provision commands. Goes with the last of them."
ATTEMPTS = 5
_ADDRESSES = IPv4Network("198.18.0.0/15")  # for benchmarks (RFC 2544): nobody routes them, and nothing is behind them
_PLACE = Place(NAME, WHAT, str(_ADDRESSES))


@dataclass(frozen=True)
class Lock:
    """A lock as it is on the cloud: who holds it, in words, and how many seconds ago he was last heard of."""

    port: str
    name: str
    holder: str
    silent: float


def lock_name(cohort: str) -> str:
    """The port's name."""
    return f"provision lock {cohort}"


def take_lock(connection: "Connection", cohort: str, holder: str, clock: Clock) -> str | None:
    """The id of the lock's port, ours from now on; None if somebody holds it."""
    for _ in range(ATTEMPTS):
        try:
            return _port(connection, apart.ensure_network(connection, _PLACE, clock), cohort, holder)
        except NotFoundError:
            continue  # the one who had it took the network along
    raise CloudError(
        f"The network {NAME} comes and goes: no lock for {cohort} could be taken.",
        hint="Other commands begin and end just now. Run the same command again.",
    )


def find_lock(connection: "Connection", cohort: str, clock: Clock) -> Lock | None:
    """The lock on a cohort, if there is one."""
    path = f"/ports?project_id={connection.current_project_id}&fixed_ips=ip_address={_address(cohort)}"
    response = ask(connection, "get", path, "Reading the lock")
    ports = [port for port in response.json()["ports"] if port["name"].startswith(lock_name(""))]
    if not ports:
        return None
    port = min(ports, key=lambda each: (each.get("created_at") or "", each["id"]))
    now = time_of(response, clock)
    return Lock(port["id"], port["name"], port["description"], max(0.0, now - seconds(port["updated_at"])))


def renew_lock(connection: "Connection", port: str, holder: str) -> None:
    """Say that its holder is alive. Raises NotFoundError when somebody took it over."""
    ask(connection, "put", f"/ports/{port}", "Renewing the lock", {"port": {"description": holder}})


def drop_lock(connection: "Connection", port: str) -> None:
    """End a lock; one that is gone is no error."""
    with suppress(NotFoundError):
        ask(connection, "delete", f"/ports/{port}", "Ending the lock")


def drop_network(connection: "Connection") -> None:
    """Take the network away as well, unless it holds other locks: Neutron then refuses."""
    apart.drop_network(connection, _PLACE)


def _port(connection: "Connection", network: str, cohort: str, holder: str) -> str | None:
    port = {
        "network_id": network,
        "name": lock_name(cohort),
        "description": holder,
        "fixed_ips": [{"ip_address": _address(cohort)}],
        "admin_state_up": False,
    }
    try:
        return str(ask(connection, "post", "/ports", "Taking the lock", {"port": port}).json()["port"]["id"])
    except CloudError as exc:
        if is_taken(exc):
            return None
        raise


def _address(cohort: str) -> str:
    """The address of a cohort's lock. Two cohorts that share one only wait for each other."""
    number = int.from_bytes(sha256(cohort.encode()).digest()[:8])
    return str(_ADDRESSES[2 + number % (_ADDRESSES.num_addresses - 3)])
