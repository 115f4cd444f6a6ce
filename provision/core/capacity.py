"""What a cohort takes from a project's quota, against what is left there."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from provision.core.shape import PRIVATE, Shape, sources

_OUT, _ICMP = 2, 1  # rules that let everything out, which Neutron adds, and fragmentation-needed in

# What heat/student.yaml makes of its own network. Ports: the router's, and one of DHCP, which counts as the project's.
# A router's way out takes a public address, as a floating IP does.
_NETWORK = {"networks": 1, "subnets": 1, "routers": 1, "ports": 2, "security groups": 1, "public addresses": 1}
_MACHINE = {"stacks": 1, "instances": 1, "ports": 1}
_FLOATING_IP = {"floating IPs": 1, "public addresses": 1}
_GATEWAY = {"instances": 1, "ports": 1, "security groups": 1, **_FLOATING_IP}


@dataclass(frozen=True)
class Quota:
    """How much of a resource a project may have, and has. A limit of -1 is none."""

    limit: int
    used: int


def per_student(shape: Shape) -> Counter[str]:
    """What one student's stack takes, but for vCPUs and memory."""
    taken = Counter(_MACHINE)
    taken.update(_FLOATING_IP if shape.floating_ip else {})
    if not shape.shared:
        taken.update(_NETWORK)
        taken["security group rules"] = _rules(shape)
    return taken


def per_shared(shape: Shape) -> Counter[str]:
    """What one shared stack takes, likewise; nothing where students do not share."""
    if not shape.shared:
        return Counter()
    taken = Counter({"stacks": 1, **_NETWORK})
    if shape.gateway:
        taken.update(_GATEWAY)
        web, ssh = sources(shape).web, sources(shape).ssh
        to_machines, to_gateway = 3, len(web) + len(ssh)
        taken["security group rules"] = to_machines + to_gateway + 2 * (_ICMP + _OUT)
    else:
        taken["security group rules"] = _rules(shape)
    return taken


def _rules(shape: Shape) -> int:
    opened = sources(shape)
    return 2 * len(opened.web) + len(opened.ssh) + _ICMP + _OUT


def needs(machines: int, *, shared: int = 0, shape: Shape = PRIVATE, vcpus: int, memory: int) -> dict[str, int]:
    """What `machines` and `shared` stacks take, all of them new, each server of `vcpus` and `memory` MiB.

    A gateway is as large as a student's machine: it boots the same image.
    """
    total: Counter[str] = Counter()
    for many, each in ((machines, per_student(shape)), (shared, per_shared(shape))):
        total.update({name: many * amount for name, amount in each.items()})
    servers = total["instances"]
    return {**total, "vCPUs": servers * vcpus, "RAM (MiB)": servers * memory}


def shortages(needed: Mapping[str, int], quotas: Mapping[str, Quota]) -> tuple[str, ...]:
    """A sentence for each resource of which `needed` is more than `quotas` leave."""
    return tuple(
        f"quota: {name}: {needed[name]} needed, {max(0, quota.limit - quota.used)} free"
        f" ({quota.used} of {quota.limit} used)"
        for name, quota in quotas.items()
        if quota.limit >= 0 and needed.get(name, 0) > quota.limit - quota.used
    )
