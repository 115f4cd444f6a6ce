"""What a cohort takes from a project's quota, against what is left there."""

from collections.abc import Mapping
from dataclasses import dataclass

# What heat/student.yaml makes. Ports: the server's, the router's, and one of DHCP, which counts as the project's.
PER_STUDENT = {
    "stacks": 1,
    "instances": 1,
    "networks": 1,
    "subnets": 1,
    "routers": 1,
    "ports": 3,
    "security groups": 1,
    "security group rules": 6,  # four of ours, and the two that let everything out
    "floating IPs": 1,
}


@dataclass(frozen=True)
class Quota:
    """How much of a resource a project may have, and has. A limit of -1 is none."""

    limit: int
    used: int


def needs(machines: int, *, vcpus: int, memory: int) -> dict[str, int]:
    """What `machines` new ones take, each of `vcpus` and `memory` MiB."""
    return {
        **{name: machines * each for name, each in PER_STUDENT.items()},
        "vCPUs": machines * vcpus,
        "RAM (MiB)": machines * memory,
    }


def shortages(needed: Mapping[str, int], quotas: Mapping[str, Quota]) -> tuple[str, ...]:
    """A sentence for each resource of which `needed` is more than `quotas` leave."""
    return tuple(
        f"quota: {name}: {needed[name]} needed, {max(0, quota.limit - quota.used)} free"
        f" ({quota.used} of {quota.limit} used)"
        for name, quota in quotas.items()
        if quota.limit >= 0 and needed.get(name, 0) > quota.limit - quota.used
    )
