"""A lock where two operators meet, the cloud itself: a Neutron port at one address of one network, of which one exists.

Measured: of eight that ask at once for a port with the same address on the same network one gets it, whoever they are.
A network's name excludes nobody. So of several networks of our name the oldest counts. It gets its subnet, without
which it has no addresses, from one who knew it for SETTLE seconds and then looked again: what is made after that look
is younger, for all.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

from provision.clock import Clock
from provision.cloud.connection import translated
from provision.errors import CloudError, NotFoundError

if TYPE_CHECKING:
    from openstack.connection import Connection

NAME = "provision-locks"
WHAT = "Holds the locks of running provision commands. Goes with the last of them."
SETTLE = 3.0  # seconds: networks bear the time of their making in whole ones
ATTEMPTS = 5
_ADDRESSES = IPv4Network("198.18.0.0/15")  # for benchmarks (RFC 2544): nobody routes them, and nothing is behind them


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
            return _port(connection, _ensure_network(connection, clock), cohort, holder)
        except NotFoundError:
            continue  # the one who had it took the network along
    raise CloudError(
        f"The network {NAME} comes and goes: no lock for {cohort} could be taken.",
        hint="Other commands begin and end just now. Run the same command again.",
    )


def find_lock(connection: "Connection", cohort: str, clock: Clock) -> Lock | None:
    """The lock on a cohort, if there is one."""
    path = f"/ports?project_id={connection.current_project_id}&fixed_ips=ip_address={_address(cohort)}"
    response = _call(connection, "get", path, "Reading the lock")
    ports = [port for port in response.json()["ports"] if port["name"].startswith(lock_name(""))]
    if not ports:
        return None
    port = min(ports, key=lambda each: (each.get("created_at") or "", each["id"]))
    date = response.headers.get("Date")
    now = parsedate_to_datetime(date).timestamp() if date else clock.now()  # the cloud's own, where it says it
    return Lock(port["id"], port["name"], port["description"], max(0.0, now - _seconds(port["updated_at"])))


def renew_lock(connection: "Connection", port: str, holder: str) -> None:
    """Say that its holder is alive. Raises NotFoundError when somebody took it over."""
    _call(connection, "put", f"/ports/{port}", "Renewing the lock", {"port": {"description": holder}})


def drop_lock(connection: "Connection", port: str) -> None:
    """End a lock; one that is gone is no error."""
    with suppress(NotFoundError):
        _call(connection, "delete", f"/ports/{port}", "Ending the lock")


def drop_network(connection: "Connection") -> None:
    """Take the network away as well, unless it holds other locks: Neutron then refuses."""
    for network in _networks(connection):
        with suppress(CloudError, NotFoundError):  # it is in use, or gone
            _call(connection, "delete", f"/networks/{network['id']}", "Removing the locks' network")


def _ensure_network(connection: "Connection", clock: Clock) -> str:
    networks, own = _networks(connection), ""
    if not networks:
        body = {"network": {"name": NAME, "description": WHAT}}
        own = _call(connection, "post", "/networks", "Making the locks' network", body).json()["network"]["id"]
    if not networks or not networks[0]["subnets"]:
        clock.sleep(SETTLE)
        networks = _networks(connection)
    if not networks:
        raise NotFoundError("The locks' network is gone.")
    oldest = networks[0]
    if own and own != oldest["id"]:
        with suppress(CloudError, NotFoundError):
            _call(connection, "delete", f"/networks/{own}", "Removing a second network for locks")
    if not oldest["subnets"]:
        _ensure_subnet(connection, oldest["id"])
    return str(oldest["id"])


def _networks(connection: "Connection") -> list[Mapping[str, Any]]:
    """Ours, the oldest first."""
    path = f"/networks?name={NAME}&project_id={connection.current_project_id}"
    found = _call(connection, "get", path, "Looking for the locks' network").json()["networks"]
    return sorted(found, key=lambda network: (network["created_at"], network["id"]))


def _ensure_subnet(connection: "Connection", network: str) -> None:
    body = {"network_id": network, "ip_version": 4, "cidr": str(_ADDRESSES), "enable_dhcp": False, "gateway_ip": None}
    try:
        _call(connection, "post", "/subnets", "Making the locks' subnet", {"subnet": body})
    except NotFoundError:
        raise
    except CloudError as exc:
        if "overlap" not in exc.message:  # somebody else was faster
            raise


def _port(connection: "Connection", network: str, cohort: str, holder: str) -> str | None:
    from openstack.exceptions import ConflictException

    port = {
        "network_id": network,
        "name": lock_name(cohort),
        "description": holder,
        "fixed_ips": [{"ip_address": _address(cohort)}],
        "admin_state_up": False,
    }
    try:
        return str(_call(connection, "post", "/ports", "Taking the lock", {"port": port}).json()["port"]["id"])
    except CloudError as exc:
        if isinstance(exc.__cause__, ConflictException) and "quota" not in exc.message.lower():
            return None
        raise


def _address(cohort: str) -> str:
    """The address of a cohort's lock. Two cohorts that share one only wait for each other."""
    number = int.from_bytes(sha256(cohort.encode()).digest()[:8])
    return str(_ADDRESSES[2 + number % (_ADDRESSES.num_addresses - 3)])


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time.replace("Z", "+00:00")).astimezone(UTC).timestamp()


def _call(connection: "Connection", method: str, path: str, what: str, body: Mapping[str, Any] | None = None) -> Any:
    from openstack.exceptions import raise_from_response

    with translated(what):
        response = getattr(connection.network, method)(path, **({"json": body} if body else {}))
        raise_from_response(response)
        return response
