"""What is found before a launch: the shape of a finding, how grave it is, and the words of a request."""

from collections.abc import Iterable
from dataclasses import dataclass

OK, UNKNOWN, WARNING, REFUSAL = "ok", "not known", "warning", "refusal"

# In the order in which they are shown; docs/preflight.md explains each.
NAMES = (
    "credential",
    "clock",
    "image",
    "flavor",
    "external_network",
    "addresses",
    "overlap",
    "mtu",
    "stacks",
    "quota",
    "project",
    "canary",
)

# How `openstack quota set` calls the resources of core/capacity.py.
_OPTIONS = {
    "instances": "instances",
    "vCPUs": "cores",
    "RAM (MiB)": "ram",
    "networks": "networks",
    "subnets": "subnets",
    "routers": "routers",
    "ports": "ports",
    "security groups": "secgroups",
    "security group rules": "secgroup-rules",
    "floating IPs": "floating-ips",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: how grave it is, what it means, and the command or request that mends it.

    `about` tells several of one name apart, such as the resource of a quota.
    """

    name: str
    severity: str
    meaning: str
    fix: str = ""
    about: str = ""


def unknown(name: str, because: str, *, about: str = "") -> Finding:
    """What could not be looked at, as a rule because the cloud does not show it to an ordinary project."""
    return Finding(name, UNKNOWN, f"Not known, because {because}", about=about)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """As they are shown."""
    return tuple(sorted(findings, key=lambda finding: NAMES.index(finding.name)))


def of(severity: str, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those of one severity."""
    return tuple(finding for finding in findings if finding.severity == severity)


def quota_request(name: str, limit: int, project: str) -> str:
    """What to ask the operator for, so that the project may have `limit` of a resource."""
    if name not in _OPTIONS:
        return f"Ask the operator for {limit} {name} for project {project}."
    return f"Ask the operator for: openstack quota set --{_OPTIONS[name]} {limit} {project}"
