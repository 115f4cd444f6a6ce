"""Neutron: the external network, the project's limits, and what is left of a cohort."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from provision.cloud.connection import translated
from provision.core.capacity import Quota
from provision.core.drift import FloatingIP, Group, Port, Rule
from provision.core.naming import is_cohort_tag
from provision.core.network_checks import External, Subnet
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


def choose_external_network(connection: "Connection", name: str | None) -> External:
    """The network that gives public addresses: `name` (or id), or the only one there is."""
    with translated("Listing the external networks"):
        there = [_external(network) for network in connection.network.networks(is_router_external=True)]
    names = ", ".join(sorted(each.name for each in there)) or "none"
    found = [each for each in there if name in (None, each.name, each.id)]
    if not found:
        wanted = f"no external network {name!r}" if name else "no external network"
        raise NotFoundError(
            f"There is {wanted} that this project can see. External networks: {names}.",
            hint=_not_external(connection, name),
        )
    if len(found) > 1:
        raise InvalidInputError(
            f"There are several external networks: {names}.", hint="Name one with --external-network (its name or id)."
        )
    return found[0]


def _not_external(connection: "Connection", name: str | None) -> str:
    """What to do about it: there may be a network of that name, by which no router leads out."""
    with translated("Looking for a network"):
        inner = name and any(True for _ in connection.network.networks(name=name))
    if inner:
        return f"{name} is not external. If it should be, ask the operator for: openstack network set --external {name}"
    return "Ask the operator for an external network: openstack network create --external NAME"


def _external(network: Any) -> External:
    subnets = network.subnet_ids
    return External(
        id=network.id,
        name=network.name,
        up=network.is_admin_state_up,
        subnets=None if subnets is None else len(subnets),
        mtu=network.mtu,
    )


def list_subnets(connection: "Connection") -> tuple[Subnet, ...]:
    """The IPv4 subnets that the project sees. Those of an external network often are not among them."""
    with translated("Listing the subnets"):
        return tuple(_subnet(each) for each in connection.network.subnets(ip_version=4))


def _subnet(found: Any) -> Subnet:
    pools = [(IPv4Address(pool["start"]), IPv4Address(pool["end"])) for pool in found.allocation_pools or ()]
    return Subnet(
        name=found.name or found.id,
        network=found.network_id,
        cidr=found.cidr,
        gateway=bool(found.gateway_ip),
        addresses=sum(int(end) - int(start) + 1 for start, end in pools),
        ours=any(is_cohort_tag(tag) for tag in found.tags or ()),
    )


def tagged_mtus(connection: "Connection", tag: str) -> tuple[int, ...]:
    """The MTU of each network that bears a tag, in bytes."""
    with translated("Reading the networks"):
        return tuple(network.mtu for network in connection.network.networks(tags=tag) if network.mtu)


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


def observe_ports(connection: "Connection", tag: str) -> tuple[Port, ...]:
    """The ports that a cohort's stacks made, by one call."""
    with translated("Listing the ports"):
        return tuple(
            Port(
                each.id,
                each.name or "",
                each.device_id or "",
                next((ip["ip_address"] for ip in each.fixed_ips or []), ""),
            )
            for each in connection.network.ports(tags=tag)
        )


def observe_addresses(connection: "Connection", tag: str) -> tuple[FloatingIP, ...]:
    """A cohort's floating IPs, by one call."""
    with translated("Listing the floating IPs"):
        return tuple(
            FloatingIP(each.id, each.floating_ip_address, each.port_id or "")
            for each in connection.network.ips(description=tag)
        )


def addresses_by_port(connection: "Connection", tag: str) -> dict[str, list[str]]:
    """A cohort's floating IPs by the names of the ports that they lead to, by two calls.

    Of both kinds only what is needed: a thousand whole ports are a megabyte.
    """
    floating = {"description": tag, "fields": ["floating_ip_address", "port_id"]}
    with translated("Listing the addresses"):
        found = [*_all(connection, "floatingips", floating)]
        ports = [*_all(connection, "ports", {"tags": tag, "fields": ["id", "name"]})]
    names = {port["id"]: port["name"] for port in ports}
    by_port: dict[str, list[str]] = {}
    for each in found:
        if name := names.get(each["port_id"] or ""):
            by_port.setdefault(name, []).append(each["floating_ip_address"])
    return by_port


def _all(connection: "Connection", kind: str, query: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """As Neutron answers, page by page where the operator has limited them: objects of the SDK cost ten times that."""
    from openstack.exceptions import raise_from_response

    where: str | None = f"/{kind}?{urlencode(query, doseq=True)}"
    while where:
        response = connection.network.get(where)
        raise_from_response(response)
        body = response.json()
        yield from body[kind]
        where = next((link["href"] for link in body.get(f"{kind}_links") or () if link["rel"] == "next"), None)


def observe_groups(connection: "Connection", tag: str) -> tuple[Group, ...]:
    """A cohort's security groups with the rules that let in, by one call."""
    with translated("Listing the security groups"):
        return tuple(
            Group(
                each.id,
                each.name,
                {_rule(rule): rule["id"] for rule in each.security_group_rules or [] if _lets_in(rule)},
            )
            for each in connection.network.security_groups(description=tag)
        )


def _lets_in(rule: Mapping[str, Any]) -> bool:
    return str(rule["direction"]) == "ingress"  # what goes out, clouds have defaults of their own for


def _rule(rule: Mapping[str, Any]) -> Rule:
    anywhere = "0.0.0.0/0" if rule["ethertype"] == "IPv4" else "::/0"
    source = rule.get("remote_group_id") or rule.get("remote_address_group_id") or rule["remote_ip_prefix"] or anywhere
    return Rule(rule["protocol"] or "any", rule["port_range_min"], rule["port_range_max"], source, rule["ethertype"])


def open_rule(connection: "Connection", group: Group, rule: Rule) -> None:
    """Let in what a rule says. One that is there already is no error."""
    from openstack.exceptions import ConflictException

    with translated(f"Opening {rule} in {group.name}"):
        try:
            connection.network.create_security_group_rule(
                security_group_id=group.id,
                direction="ingress",
                ethertype=rule.ethertype,
                protocol=rule.protocol,
                port_range_min=rule.low,
                port_range_max=rule.high,
                remote_ip_prefix=rule.source,
            )
        except ConflictException as exc:
            if "SecurityGroupRuleExists" not in str(exc.response.text if exc.response is not None else exc):
                raise


def close_rule(connection: "Connection", group: Group, rule: Rule) -> None:
    """Let it in no longer. One that is gone already is no error."""
    with translated(f"Closing {rule} in {group.name}"):
        connection.network.delete_security_group_rule(group.rules[rule], ignore_missing=True)


@dataclass(frozen=True)
class Leftover:
    """Something in the project that bears a cohort's tag. It reads "router tm351-26J-a1"."""

    kind: str
    id: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name or self.id}"


def observe_leftovers(connection: "Connection", tag: str) -> tuple[Leftover, ...]:
    """Everything in the project, but for stacks, that still bears a cohort's tag."""
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
        return tuple(
            Leftover(kind, each.id, each.name or "") for kind, listing in listings.items() for each in listing()
        )


# Each kind after all that holds on to it.
DELETION = ("floating IP", "server", "port", "router", "subnet", "network", "security group")


def delete_leftover(connection: "Connection", thing: Leftover) -> None:
    """Ask for the end of what no stack has; what is gone already is no error. A server goes a little later."""
    network = connection.network
    deletions: dict[str, Callable[[str], object]] = {
        "floating IP": network.delete_ip,
        "server": connection.compute.delete_server,
        "port": network.delete_port,
        "router": network.delete_router,
        "subnet": network.delete_subnet,
        "network": network.delete_network,
        "security group": network.delete_security_group,
    }
    with translated(f"Deleting {thing}"):
        if thing.kind == "router":
            for port in network.ports(device_id=thing.id, device_owner="network:router_interface"):
                network.remove_interface_from_router(thing.id, None, port.id)  # the SDK renamed it
        deletions[thing.kind](thing.id)
