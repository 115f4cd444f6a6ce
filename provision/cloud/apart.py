"""Networks of our own that carry nothing: their addresses exclude, for of each there is one port.

A network's name excludes nobody. So of several networks of one name the oldest counts. It gets its subnet, without
which it has no addresses, from one who knew it for SETTLE seconds and then looked again: what is made after that look
is younger, for all.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from provision.clock import Clock
from provision.cloud.connection import translated
from provision.errors import CloudError, NotFoundError

if TYPE_CHECKING:
    from openstack.connection import Connection

SETTLE = 3.0  # seconds: networks bear the time of their making in whole ones


@dataclass(frozen=True)
class Place:
    """Such a network: its name, what it is for in words, and the addresses that it has."""

    name: str
    what: str
    cidr: str


def ensure_network(connection: "Connection", place: Place, clock: Clock) -> str:
    """The id of the network, with its addresses. Raises NotFoundError when it goes while we look."""
    networks, own = find_networks(connection, place), ""
    if not networks:
        body = {"network": {"name": place.name, "description": place.what}}
        own = ask(connection, "post", "/networks", f"Making {place.name}", body).json()["network"]["id"]
    if not networks or not networks[0]["subnets"]:
        clock.sleep(SETTLE)
        networks = find_networks(connection, place)
    if not networks:
        raise NotFoundError(f"The network {place.name} is gone.")
    oldest = networks[0]
    if own and own != oldest["id"]:
        with suppress(CloudError, NotFoundError):
            ask(connection, "delete", f"/networks/{own}", f"Removing a second {place.name}")
    if not oldest["subnets"]:
        _ensure_subnet(connection, place, oldest["id"])
    return str(oldest["id"])


def find_networks(connection: "Connection", place: Place) -> list[Mapping[str, Any]]:
    """Ours, the oldest first."""
    path = f"/networks?name={place.name}&project_id={connection.current_project_id}"
    found = ask(connection, "get", path, f"Looking for {place.name}").json()["networks"]
    return sorted(found, key=lambda network: (network["created_at"], network["id"]))


def drop_network(connection: "Connection", place: Place) -> None:
    """Take the network away, unless it has ports: Neutron then refuses."""
    for network in find_networks(connection, place):
        with suppress(CloudError, NotFoundError):  # it is in use, or gone
            ask(connection, "delete", f"/networks/{network['id']}", f"Removing {place.name}")


def _ensure_subnet(connection: "Connection", place: Place, network: str) -> None:
    body = {
        "network_id": network,
        "ip_version": ip_network(place.cidr).version,
        "cidr": place.cidr,
        "enable_dhcp": False,
        "gateway_ip": None,
    }
    try:
        ask(connection, "post", "/subnets", f"Making the subnet of {place.name}", {"subnet": body})
    except NotFoundError:
        raise
    except CloudError as exc:
        if "overlap" not in exc.message:  # somebody else was faster
            raise


def is_taken(error: CloudError) -> bool:
    """Whether Neutron's no to a port means that another has its address."""
    from openstack.exceptions import ConflictException

    return isinstance(error.__cause__, ConflictException) and "quota" not in error.message.lower()


def seconds(time: str) -> float:
    """A time of Neutron's, in seconds since 1970."""
    return datetime.fromisoformat(time.replace("Z", "+00:00")).astimezone(UTC).timestamp()


def time_of(response: Any, clock: Clock) -> float:
    """When the cloud answered: by its own clock, where it says it."""
    date = response.headers.get("Date")
    return parsedate_to_datetime(date).timestamp() if date else clock.now()


def ask(connection: "Connection", method: str, path: str, what: str, body: Mapping[str, Any] | None = None) -> Any:
    """Neutron's answer to a call. Raises our errors; `what` names the call in them."""
    from openstack.exceptions import raise_from_response

    with translated(what):
        response = getattr(connection.network, method)(path, **({"json": body} if body else {}))
        raise_from_response(response)
        return response
