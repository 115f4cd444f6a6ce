"""Neutron: the external network, the project's limits, and what is left of a cohort."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from provision.cloud.connection import translated
from provision.core.capacity import Quota
from provision.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from openstack.connection import Connection

_QUOTAS = {
    "networks": "network",
    "subnets": "subnet",
    "routers": "router",
    "ports": "port",
    "security groups": "security_group",
    "security group rules": "security_group_rule",
    "floating IPs": "floatingip",
}


def choose_external_network(connection: "Connection", name: str | None) -> tuple[str, str]:
    """The id and name of the network that gives public addresses: `name`, or the only one there is."""
    with translated("Listing the external networks"):
        found = [(network.id, network.name) for network in connection.network.networks(is_router_external=True)]
    names = ", ".join(sorted(found_name for _, found_name in found)) or "none"
    if name is not None:
        found = [pair for pair in found if name in pair]
    if not found:
        wanted = f"no external network {name!r}" if name else "no external network"
        raise NotFoundError(f"There is {wanted} that this project can see. External networks: {names}.")
    if len(found) > 1:
        raise InvalidInputError(
            f"There are several external networks: {names}.", hint="Name one with --external-network (its name or id)."
        )
    return found[0]


def network_quotas(connection: "Connection", project: str) -> dict[str, Quota]:
    """The project's limits in Neutron, under the names of core/capacity.py."""
    from openstack.exceptions import raise_from_response

    with translated("Reading the network quota"):
        response = connection.network.get(f"/quotas/{project}/details")
        raise_from_response(response)
        details = response.json()["quota"]
    return {
        name: Quota(details[key]["limit"], details[key]["used"] + details[key]["reserved"])
        for name, key in _QUOTAS.items()
        if key in details
    }


def public_addresses(connection: "Connection", network: str) -> dict[str, Quota]:
    """An external network's IPv4 addresses, likewise; empty where only operators may ask, which is as a rule."""
    from openstack.exceptions import raise_from_response

    with translated("Counting the public addresses"):
        response = connection.network.get(f"/network-ip-availabilities/{network}")
        if response.status_code in (403, 404):
            return {}
        raise_from_response(response)
        subnets = response.json()["network_ip_availability"]["subnet_ip_availability"]
    counted = [(each["total_ips"], each["used_ips"]) for each in subnets if each["ip_version"] == 4]
    return {"public addresses": Quota(sum(total for total, _ in counted), sum(used for _, used in counted))}


def observe_leftovers(connection: "Connection", tag: str) -> tuple[str, ...]:
    """Everything in the project, but for stacks, that still bears a cohort's tag: "router tm351-26J-a1"."""
    network = connection.network
    # Security groups and floating IPs cannot be tagged by Heat: they bear the tag as their description.
    listings: dict[str, Callable[[], Iterable[Any]]] = {
        "server": lambda: (each for each in connection.compute.servers() if tag in (each.metadata or {}).values()),
        "port": lambda: network.ports(tags=tag),
        "router": lambda: network.routers(tags=tag),
        "network": lambda: network.networks(tags=tag),
        "subnet": lambda: network.subnets(tags=tag),
        "security group": lambda: network.security_groups(description=tag),
        "floating IP": lambda: network.ips(description=tag),
    }
    with translated("Looking for what is left"):
        return tuple(f"{kind} {each.name or each.id}" for kind, listing in listings.items() for each in listing())
