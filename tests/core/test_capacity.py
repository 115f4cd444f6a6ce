"""Quota arithmetic, and the cloud's words explained."""

import pytest

from provision.core.capacity import Quota, needs, per_student, shortages
from provision.core.diagnosis import explain
from provision.core.shape import PRIVATE, Shape


@pytest.mark.parametrize(
    ("quotas", "sentences"),
    [
        ({"routers": Quota(10, 0)}, []),
        ({"routers": Quota(-1, 500)}, []),
        ({"snapshots": Quota(0, 0)}, []),
        ({"routers": Quota(10, 8)}, ["quota: routers: 3 needed, 2 free (8 of 10 used)"]),
        ({"routers": Quota(10, 12)}, ["quota: routers: 3 needed, 0 free (12 of 10 used)"]),
        (
            {"vCPUs": Quota(20, 15), "RAM (MiB)": Quota(51200, 0), "ports": Quota(8, 0)},
            ["quota: vCPUs: 6 needed, 5 free (15 of 20 used)", "quota: ports: 9 needed, 8 free (0 of 8 used)"],
        ),
    ],
)
def test_shortages(quotas: dict[str, Quota], sentences: list[str]) -> None:
    assert list(shortages(needs(3, vcpus=2, memory=2048), quotas)) == sentences


def test_no_machine_needs_nothing() -> None:
    assert shortages(needs(0, vcpus=2, memory=2048), {name: Quota(0, 0) for name in per_student(PRIVATE)}) == ()


GATEWAY = Shape("shared", floating_ip=False, ssh_cidr=None)


@pytest.mark.parametrize(
    ("shape", "shared", "amounts"),
    [
        # Of 200 students: a router for each, and two public addresses.
        (PRIVATE, 0, {"stacks": 200, "routers": 200, "public addresses": 400, "instances": 200, "ports": 600}),
        (Shape("shared"), 1, {"stacks": 201, "routers": 1, "public addresses": 201, "instances": 200, "ports": 202}),
        (GATEWAY, 1, {"stacks": 201, "routers": 1, "public addresses": 2, "floating IPs": 1, "instances": 201}),
        (GATEWAY, 1, {"vCPUs": 402, "RAM (MiB)": 201 * 2048, "security groups": 2}),
        (Shape("shared"), 1, {"security group rules": 2 * 24 + 24 + 3}),
        (Shape("shared", ssh_cidr="192.0.2.0/24"), 2, {"security group rules": 2 * (2 * 24 + 1 + 3)}),
        (Shape(ssh_cidr=None), 0, {"security group rules": 200 * 5}),
    ],
)
def test_what_two_hundred_students_take(shape: Shape, shared: int, amounts: dict[str, int]) -> None:
    needed = needs(200, shared=shared, shape=shape, vcpus=2, memory=2048)
    assert {name: needed.get(name, 0) for name in amounts} == amounts


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        (
            'ResourceInError: resources.server: Went to status ERROR due to "Message: No valid host was found. '
            'There are not enough hosts available., Code: 500"',
            "No compute node has room",
        ),
        (
            "Message: Exceeded maximum number of retries. Exhausted all hosts available for retrying build "
            "failures for instance 6c0c4f5e., Code: 500",
            "Every compute node that tried",
        ),
        (
            "Flavor's disk is too small for requested image. Flavor disk is 1073 bytes",
            "The flavor's disk is smaller",
        ),
        ("Flavor's memory is too small for requested image.", "The flavor's memory is smaller"),
        ("Conflict: resources.router: Quota exceeded for resources: ['router'].", "A quota of the project"),
        ("Quota exceeded for cores: Requested 1, but already used 20 of 20 cores", "A quota of the project"),
        ("You have reached the maximum stacks per tenant, 512. Please delete some stacks.", "A quota of the project"),
        (
            "Conflict: resources.floating_ip: No more IP addresses available on network 9c1f.",
            "The external network has no",
        ),
        ("The server has either erred or is incapable of performing the requested operation.", ""),
        ("", ""),
    ],
)
def test_known_causes(said: str, meaning: str) -> None:
    known = explain(said)
    assert (known.meaning if known else "").startswith(meaning)
    assert bool(known) == bool(meaning)
