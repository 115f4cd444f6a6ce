"""A project for each student: what it is called, what it may hold, and what is still missing of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from provision.core.capacity import needs
from provision.core.findings import OK, REFUSAL, WARNING, Finding
from provision.core.flavors import Flavor
from provision.core.shape import Shape

Users = Literal["none", "existing", "create"]

# The lock of a command that works on it (cloud/locks.py): a network, its subnet and a port.
_LOCK = {"networks": 1, "subnets": 1, "ports": 1}
# Roles that reach beyond a project; nobody gets them in a student's for being an operator.
_BEYOND = ("admin", "manager", "service", "reader")


@dataclass(frozen=True)
class Tenancy:
    """Whether students are users of the cloud, what they may do in their projects, and the domain of both."""

    users: Users = "existing"
    roles: tuple[str, ...] = ("member",)
    domain: str | None = None


@dataclass(frozen=True)
class Project:
    """A student's project. `label` is what the cloud calls the student."""

    id: str
    name: str
    label: str


def allowance(shape: Shape, flavor: Flavor) -> dict[str, int]:
    """A student's quota, by the names of core/capacity.py: one machine, and what a command of ours needs meanwhile."""
    taken = needs(1, shape=shape, vcpus=flavor.vcpus, memory=flavor.memory)
    taken.pop("stacks")
    taken.pop("public addresses")  # neither has a quota of this kind
    taken["security groups"] += 1  # Neutron's own, "default", with its four rules
    taken["security group rules"] += 4
    return {name: count + _LOCK.get(name, 0) for name, count in taken.items()}


def operator_roles(roles: Iterable[str]) -> tuple[str, ...]:
    """What the operator needs in a student's project: the roles that make stacks in his own, and no admin's."""
    return tuple(sorted({*roles, "member"} - {*_BEYOND}))


def missing(
    students: Mapping[str, str],
    projects: Iterable[Project],
    known: Iterable[str],
    tenancy: Tenancy,
    *,
    may: bool,
) -> Iterable[Finding]:
    """What is missing for each of `students`, labels by their ids; `known` are those who are users of the cloud.

    `may`: whether the operator is allowed to make it.
    """
    there, users = {project.label for project in projects}, set(known)
    for student, label in students.items():
        lacks = [] if label in there else ["its project"]
        lacks += ["its user"] if tenancy.users == "create" and student not in users else []
        if tenancy.users == "existing" and student not in users:
            words = f"{student} is no user of the cloud, and cannot own a machine."
            fix = 'Ask the operator for the account, or write users = "create" or "none" under [projects].'
            yield Finding("project", REFUSAL, words, fix, student)
        elif lacks and not may:
            words = f"{' and '.join(lacks)} must be made, and this user may not: it has no role admin."
            yield Finding("project", WARNING, words, "Ask the operator for a user who may make projects.", student)
        else:
            words = f"a launch makes {' and '.join(lacks)}." if lacks else "its project is there."
            yield Finding("project", OK, words, about=student)
