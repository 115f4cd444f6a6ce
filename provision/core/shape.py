"""How a cohort's machines are connected and who may reach them, and what follows from that by arithmetic."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from provision.errors import InvalidInputError

ANYWHERE = "0.0.0.0/0"
ROOM = 200  # students that one shared network takes
SUBNET = "10.21.0.0/24"  # a shared network's addresses; each has a router of its own, so all can have the same
# A gateway leads port 20000 + N to the web of the machine whose address ends in N, and 30000 + N to its SSH.
WEB_PORTS, SSH_PORTS = 20000, 30000


@dataclass(frozen=True)
class Shape:
    """`private`: a network and a router for each student; `shared`: for up to `ROOM` students together.

    Without `floating_ip` machines have no public address and are reached through a gateway machine. `web_cidr` and
    `ssh_cidr` say from where ports 80 and 443, and 22, are open; None is from nowhere, and SSH is not proved then.
    """

    kind: Literal["private", "shared"] = "private"
    floating_ip: bool = True
    web_cidr: str = ANYWHERE
    ssh_cidr: str | None = ANYWHERE

    @property
    def shared(self) -> bool:
        """Whether students share networks."""
        return self.kind == "shared"

    @property
    def gateway(self) -> bool:
        """Whether machines are reached through a gateway machine."""
        return not self.floating_ip


PRIVATE = Shape()


@dataclass(frozen=True)
class Sources:
    """The networks from which a security group lets in the web, and SSH: a rule each."""

    web: tuple[str, ...]
    ssh: tuple[str, ...]


def check_shape(shape: Shape) -> None:
    """Raise InvalidInputError, with everything at once, if machines cannot be connected so."""
    problems = []
    if shape.gateway and not shape.shared:
        problems.append(
            'network: "private" needs floating_ip = true: each student\'s router takes a public address in any case,'
            ' and no gateway has a way behind it. Where public addresses are scarce, take shape = "shared"'
        )
    for name, cidr in (("web", shape.web_cidr), ("ssh", shape.ssh_cidr)):
        try:
            empty = cidr is not None and not outside(cidr)
        except ValueError as exc:
            problems.append(f"access.{name}: {cidr!r} is not an IPv4 network such as 192.0.2.0/24: {exc}")
            continue
        if empty and shape.shared:
            problems.append(f"access.{name}: {cidr} is inside of {SUBNET}, the students' own network")
    if problems:
        raise InvalidInputError("The machines cannot be connected so.", problems=tuple(problems))


def sources(shape: Shape) -> Sources:
    """What the rules of a shape's security group name.

    A rule can only allow, and what comes through a floating IP still has its sender's own address. So on a shared
    network "from anywhere" is written as anywhere but that network: then no rule lets a neighbour in.
    """
    if not shape.shared:
        return Sources((shape.web_cidr,), (shape.ssh_cidr,) if shape.ssh_cidr else ())
    return Sources(outside(shape.web_cidr), outside(shape.ssh_cidr) if shape.ssh_cidr else ())


def outside(cidr: str, subnet: str = SUBNET) -> tuple[str, ...]:
    """The networks that together are `cidr` without `subnet`, in order: one if they do not meet, at most 32."""
    whole, hole = IPv4Network(cidr), IPv4Network(subnet)
    if whole.subnet_of(hole):
        return ()
    parts = whole.address_exclude(hole) if hole.subnet_of(whole) else [whole]
    return tuple(str(part) for part in sorted(parts))


def gateway_ports(address: str) -> tuple[int, int]:
    """The gateway's ports that lead to the web and the SSH of the machine with this address."""
    last = int(IPv4Address(address)) % 256
    return WEB_PORTS + last, SSH_PORTS + last
