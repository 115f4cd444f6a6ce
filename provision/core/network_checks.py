"""The rules of a preflight for networks: facts in, findings out."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network

from provision.core.capacity import Quota
from provision.core.findings import OK, REFUSAL, WARNING, Finding, unknown
from provision.core.shape import ANYWHERE, SUBNET, Shape

OWN_SUBNET = "10.20.0.0/24"  # the default of heat/student.yaml's cidr
IPV6_MTU = 1280  # RFC 8200, section 5: no link may carry less
TUNNEL_MTU = 1442  # what Geneve leaves of 1500; VXLAN leaves 1450


@dataclass(frozen=True)
class External:
    """The network that gives public addresses. `up`, `subnets` (how many) and `mtu` are None if the cloud tells not."""

    id: str
    name: str
    up: bool | None = None
    subnets: int | None = None
    mtu: int | None = None


@dataclass(frozen=True)
class Subnet:
    """A subnet of IPv4. `addresses` is how many its pools hold; `ours` that a cohort's launch made it."""

    name: str
    network: str
    cidr: str
    gateway: bool
    addresses: int
    ours: bool = False


def external_network(external: External, subnets: Iterable[Subnet]) -> Finding:
    """Whether routers can lead out by it; `subnets` are those of its own that the project sees."""
    seen = list(subnets)
    name = external.name
    if external.up is False:
        fix = f"Ask the operator for: openstack network set --enable {external.id}"
        return Finding("external_network", REFUSAL, f"{name} is switched off: nothing goes through it.", fix)
    if external.subnets == 0:
        meaning = f"{name} has no subnet: a router gets no address there, and nothing behind it a floating IP."
        ask = f"openstack subnet create --network {external.id} --subnet-range CIDR --no-dhcp NAME"
        return Finding("external_network", REFUSAL, meaning, f"Ask the operator for: {ask}")
    if blind := [subnet for subnet in seen if not subnet.gateway]:
        meaning = f"Subnet {blind[0].name} ({blind[0].cidr}) of {name} has no gateway: machines have no way out by it."
        ask = f"openstack subnet set --gateway ADDRESS {blind[0].name}"
        return Finding("external_network", WARNING, meaning, f"If that is not intended, ask the operator for: {ask}")
    ranges = ", ".join(subnet.cidr for subnet in seen) or "its subnets are not shown to this project"
    return Finding("external_network", OK, f"{name} ({external.id}) is external: {ranges}.")


def addresses(needed: int, counted: Quota | None, subnets: Iterable[Subnet], name: str) -> Finding:
    """Whether there are enough public addresses: `counted` if Neutron tells, else no more than the pools hold."""
    words = f"{needed} public addresses of {name} are needed, for floating IPs and for routers' ways out"
    pool = sum(subnet.addresses for subnet in subnets)
    fix = (
        f"Release those that nobody uses (openstack floating ip list), or ask the operator for {needed} free addresses"
        f' in {name}. With shape = "shared" up to 200 need one router, with floating_ip = false one address, too.'
    )
    if counted is not None:
        free = counted.limit - counted.used
        words += f", {free} are free ({counted.used} of {counted.limit} used)."
        return Finding("addresses", *((OK, words) if free >= needed else (REFUSAL, words, fix)))
    if pool and needed > pool:
        return Finding("addresses", REFUSAL, f"{words}, and its subnets hold {pool} in all.", fix)
    held = f" Its subnets hold {pool} in all." if pool else ""
    return unknown("addresses", f"only operators may count the free ones (network-ip-availability). {words}.{held}")


def overlaps(shape: Shape, external: External, subnets: Iterable[Subnet]) -> Iterable[Finding]:
    """Whether students' networks meet others: outside, in the project, or where those are who may reach them."""
    own = SUBNET if shape.shared else OWN_SUBNET
    seen = list(subnets)
    found = [*_with_subnets(own, external, seen), *_with_sources(own, shape)]
    outside = [subnet.cidr for subnet in seen if subnet.network == external.id]
    if not found and outside:
        found = [Finding("overlap", OK, f"Students' networks ({own}) meet no other: outside is {', '.join(outside)}.")]
    elif not found:
        because = f"the subnets of {external.name} are not shown to this project. Students' networks are {own}."
        found = [unknown("overlap", because)]
    yield from found


def _with_subnets(own: str, external: External, subnets: Iterable[Subnet]) -> Iterable[Finding]:
    for subnet in subnets:
        if subnet.ours or not _meet(own, subnet.cidr):
            continue
        where = f"{subnet.name} ({subnet.cidr})"
        if subnet.network == external.id:
            meaning = f"Students' networks ({own}) meet {where} outside: Neutron refuses a router between both."
            fix = f"Name another external network, or ask the operator for one that does not meet {own}."
            yield Finding("overlap", REFUSAL, meaning, fix, subnet.name)
        else:
            meaning = (
                f"Students' networks ({own}) meet the project's {where}. Each has a router of its own, so both work; no"
                " router can lead to both."
            )
            yield Finding("overlap", WARNING, meaning, "Attach no student's router to it.", subnet.name)


def _with_sources(own: str, shape: Shape) -> Iterable[Finding]:
    for key, cidr in (("access.web", shape.web_cidr), ("access.ssh", shape.ssh_cidr)):
        if cidr and cidr != ANYWHERE and _meet(own, cidr):
            meaning = f"{key} = {cidr} meets students' own networks ({own}): from there no answer finds the way back."
            yield Finding("overlap", WARNING, meaning, f"Write networks that do not meet {own}.", key)


def _meet(one: str, other: str) -> bool:
    first, second = ip_network(one, strict=False), ip_network(other, strict=False)
    return first.version == second.version and first.overlaps(second)


def mtu(size: int | None, about: str) -> Finding:
    """Whether packets of the usual sizes go through a network; in bytes."""
    if size is None:
        return unknown("mtu", f"the cloud does not tell that of {about}.", about=about)
    if size >= TUNNEL_MTU:
        return Finding("mtu", OK, f"{about} carries packets of {size} bytes.", about=about)
    meaning = (
        f"{about} carries packets of {size} bytes, less than the {TUNNEL_MTU} to 1450 that a tunnel leaves of 1500:"
        " where ICMP is filtered on the way, pages hang half loaded, and containers in a machine need their MTU set."
    )
    if size < IPV6_MTU:
        meaning += f" Below {IPV6_MTU} there is no IPv6 at all."
    return Finding("mtu", WARNING, meaning, "Ask the operator for an MTU of at least 1442 (global_physnet_mtu).", about)
