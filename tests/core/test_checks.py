"""The rules of a preflight: facts in, findings out; a case that is right for each, and each way in which it is not."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from provision.core import checks
from provision.core.capacity import Quota
from provision.core.checks import Probe
from provision.core.findings import NAMES, OK, REFUSAL, UNKNOWN, WARNING, Finding, in_order, unknown
from provision.core.flavors import Flavor, Size
from provision.core.images import Image
from provision.core.network_checks import OWN_SUBNET, External, Subnet, addresses, external_network, mtu, overlaps
from provision.core.shape import PRIVATE, Shape
from provision.core.tenancy import Project, Tenancy, Users, allowance, missing, operator_roles

ROOT = Path(__file__).resolve().parents[2]

COURSE = Size(vcpus=1, memory=1024, disk=5)
SMALL = Flavor(memory=2048, vcpus=1, disk=20, name="m1.small", id="f1")
LARGE = Flavor(memory=8192, vcpus=4, disk=80, name="m1.large", id="f2")
TINY = Flavor(memory=512, vcpus=1, disk=5, name="m1.tiny", id="f3")
DISKLESS = Flavor(memory=2048, vcpus=1, disk=0, name="m1.diskless", id="f4")


def image(
    *,
    min_disk: int = 8,
    min_ram: int = 512,
    virtual: float | None = 7.5,
    status: str = "active",
    visibility: str = "private",
    owner: str = "project1",
) -> Image:
    return Image(
        id="image1",
        name="demo-26J",
        status=status,
        size=2**30,
        virtual_size=None if virtual is None else int(virtual * 2**30),
        min_disk=min_disk,
        min_ram=min_ram,
        created="",
        disk_format="qcow2",
        owner=owner,
        visibility=visibility,
        protected=False,
        properties={},
    )


def credential(kind: str, probe: Probe | None) -> Finding:
    return checks.credential("faculty", "class", ("heat_stack_owner", "member"), kind, probe)


def flavor(chosen: Flavor, found: Image | None = None, others: tuple[Flavor, ...] = (SMALL, LARGE)) -> Finding:
    return checks.flavor(chosen, COURSE, found or image(), others)


def only(findings: Iterable[Finding]) -> Finding:
    (found,) = findings
    return found


PUBLIC = External("net1", "public", up=True, subnets=1, mtu=1500)
OUTSIDE = Subnet("outside", "net1", "172.24.4.0/24", gateway=True, addresses=200)
OWN = "10.20.0.0/24"
SHARING = Shape("shared")
GOING = External("net1", "public")


def met(*subnets: Subnet, shape: Shape = PRIVATE) -> Finding:
    return only(overlaps(shape, PUBLIC, subnets))


def quota(name: str, limit: int, used: int, need: int = 10, shape: Shape = PRIVATE) -> Finding:
    return only(checks.quotas({name: need}, {name: Quota(limit, used)}, "project1", shape))


# What was looked at, how grave it is, what is said of it, and what mends it.
def project(users: Users, *, there: bool = False, known: bool = True, may: bool = True) -> Finding:
    """What a preflight says of the project of one student, whose label is not the id."""
    projects = [Project("p1", "demo-26J-k1", "k1")] if there else []
    (found,) = missing({"ada": "k1"}, projects, ["ada"] if known else [], Tenancy(users), may=may)
    return found


CASES: tuple[tuple[Finding, str, tuple[str, ...], tuple[str, ...]], ...] = (
    (credential("password", None), OK, ("faculty in project class (heat_stack_owner, member), by password",), ()),
    (credential("password", Probe()), OK, ("Heat made a stack",), ()),
    (credential("application credential", Probe()), OK, ("by application credential", "Heat made a stack"), ()),
    (credential("application credential", None), WARNING, ("Not tried",), ("provision cohort preflight",)),
    (
        credential("application credential", Probe("Creating a stack failed. (HTTP 500)", "Wait a minute")),
        REFUSAL,
        ("Keystone trust", "again does not help", "(HTTP 500)"),
        ("service user with a password and the roles heat_stack_owner, member in project class", "clouds.yaml"),
    ),
    (
        credential("password", Probe("not allowed (HTTP 403)", "Ask for the role")),
        REFUSAL,
        ("403",),
        ("Ask for the role",),
    ),
    (checks.clock(-3.2), OK, ("3 s behind",), ()),
    (checks.clock(60.0), OK, ("60 s ahead",), ()),
    (checks.clock(61.0), WARNING, ("61 s ahead of", "Tokens", "certificates"), ("timedatectl set-ntp true",)),
    (checks.clock(None), UNKNOWN, ("no date",), ()),
    (
        checks.image(image(), "project1", None),
        OK,
        ("demo-26J (image1) is active", "min_disk 8 GiB, virtual size 7.5"),
        (),
    ),
    (checks.image(image(virtual=None), "project1", None), OK, ("virtual size not known",), ()),
    (checks.image(image(status="deactivated"), "project1", None), REFUSAL, ("is deactivated",), ("--image",)),
    (
        checks.image(image(visibility="shared", owner="other"), "project1", "pending"),
        WARNING,
        ("Project other shares it", "not accepted"),
        ("provision image accept image1",),
    ),
    (
        checks.image(image(visibility="shared", owner="other"), "project1", "accepted"),
        OK,
        ("is active and shared",),
        (),
    ),
    (checks.image(image(visibility="shared"), "project1", None), OK, ("is active and shared",), ()),
    (flavor(SMALL), OK, ("m1.small (1 vCPU, 2048 MiB, 20 GiB) has", "8 GiB of disk"), ()),
    (
        flavor(SMALL, image(min_disk=64)),
        REFUSAL,
        ("flavor disk 20 GiB < image min_disk 64 GiB",),
        ("m1.large (4 vCPU, 8192 MiB, 80 GiB)", "--flavor m1.large"),
    ),
    (
        flavor(SMALL, image(min_disk=0, virtual=20.1)),
        REFUSAL,
        ("flavor disk 20 GiB < image virtual size 20.1 GiB",),
        ("--flavor m1.large",),
    ),
    (flavor(SMALL, image(virtual=20.0)), OK, (), ()),
    (
        flavor(SMALL, image(min_disk=100)),
        REFUSAL,
        ("20 GiB < image min_disk 100 GiB",),
        ("openstack flavor create --vcpus 1 --ram 1024 --disk 100 NAME",),
    ),
    (
        flavor(TINY, image(min_ram=600)),
        REFUSAL,
        (
            "flavor disk 5 GiB < image min_disk 8 GiB",
            "flavor memory 512 MiB < image min_ram 600 MiB",
            "flavor memory 512 MiB < the course's 1024 MiB",
        ),
        ("--flavor m1.small",),
    ),
    (flavor(DISKLESS, image(min_disk=64)), WARNING, ("no disk of its own",), ("canary",)),
    (external_network(PUBLIC, [OUTSIDE]), OK, ("public (net1)", "172.24.4.0/24"), ()),
    (external_network(GOING, []), OK, ("not shown to this project",), ()),
    (
        external_network(External("net1", "public", up=False), []),
        REFUSAL,
        ("switched off",),
        ("openstack network set --enable net1",),
    ),
    (
        external_network(External("net1", "public", up=True, subnets=0), []),
        REFUSAL,
        ("has no subnet",),
        ("openstack subnet create --network net1",),
    ),
    (
        external_network(PUBLIC, [Subnet("blind", "net1", "172.24.4.0/24", gateway=False, addresses=9)]),
        WARNING,
        ("blind (172.24.4.0/24)", "no gateway"),
        ("openstack subnet set --gateway",),
    ),
    (addresses(60, Quota(200, 140), [OUTSIDE], "public"), OK, ("60 public addresses of public", "60 are free"), ()),
    (
        addresses(61, Quota(200, 140), [OUTSIDE], "public"),
        REFUSAL,
        ("61 public addresses", "60 are free (140 of 200 used)"),
        ("61 free addresses in public", 'shape = "shared"'),
    ),
    (addresses(200, None, [OUTSIDE], "public"), UNKNOWN, ("only operators", "hold 200 in all"), ()),
    (addresses(200, None, [], "public"), UNKNOWN, ("only operators", "200 public addresses"), ()),
    (addresses(201, None, [OUTSIDE], "public"), REFUSAL, ("subnets hold 200 in all",), ("201 free addresses",)),
    (met(OUTSIDE, shape=Shape(ssh_cidr=None)), OK, (OWN, "172.24.4.0/24"), ()),
    (met(OUTSIDE, Subnet("a", "net2", OWN, gateway=True, addresses=9), shape=SHARING), OK, ("10.21.0.0/24",), ()),
    (met(Subnet("b", "net1", "10.21.0.0/16", gateway=True, addresses=9), shape=SHARING), REFUSAL, (), ("another",)),
    (met(), UNKNOWN, ("not shown to this project", OWN), ()),
    (
        met(Subnet("wide", "net1", "10.0.0.0/8", gateway=True, addresses=9)),
        REFUSAL,
        ("wide (10.0.0.0/8)", "refuses a router"),
        ("another external network",),
    ),
    (
        met(OUTSIDE, Subnet("lab", "net2", "10.20.0.128/25", gateway=True, addresses=9)),
        WARNING,
        ("the project's lab (10.20.0.128/25)", "no router can lead to both"),
        ("no student's router",),
    ),
    (met(OUTSIDE, Subnet("a", "net2", OWN, gateway=True, addresses=9, ours=True)), OK, (), ()),
    (
        met(OUTSIDE, shape=Shape(web_cidr="10.20.0.0/16")),
        WARNING,
        ("access.web = 10.20.0.0/16", "no answer"),
        (f"do not meet {OWN}",),
    ),
    (mtu(1500, "public"), OK, ("1500 bytes",), ()),
    (mtu(1442, "public"), OK, ("1442 bytes",), ()),
    (mtu(1441, "public"), WARNING, ("1441 bytes", "ICMP"), ("MTU of at least 1442",)),
    (mtu(1279, "public"), WARNING, ("1279 bytes", "no IPv6"), ("MTU of at least 1442",)),
    (mtu(None, "public"), UNKNOWN, ("does not tell that of public",), ()),
    (checks.stacks(500, 12), OK, ("500 more stacks, 12 are there",), ()),
    (checks.stacks(500, 13, 513), OK, ("no more than 513",), ()),
    (checks.stacks(500, 13, 500), REFUSAL, ("13 too many for 500",), ("max_stacks_per_tenant = 513", "stack_limit")),
    (checks.stacks(500, 13), WARNING, ("1 are refused",), ("max_stacks_per_tenant", "at least 513")),
    (quota("floating IPs", 50, 40), OK, ("floating IPs: 10 needed, 10 free (40 of 50 used)",), ()),
    (quota("floating IPs", -1, 40), OK, ("no limit",), ()),
    (
        quota("floating IPs", 50, 41),
        REFUSAL,
        ("floating IPs: 10 needed, 9 free (41 of 50 used)",),
        ("openstack quota set --floating-ips 51 project1",),
    ),
    (
        quota("routers", 10, 12),
        REFUSAL,
        ("routers: 10 needed, 0 free (12 of 10 used)",),
        ("openstack quota set --routers 22 project1", 'shape = "shared"'),
    ),
    (quota("RAM (MiB)", 51200, 51200, 2048), REFUSAL, (), ("openstack quota set --ram 53248 project1",)),
    (quota("routers", -1, 244), OK, (), ()),
    (quota("routers", -1, 245), WARNING, ("255 would be there", "l3_ha", "254"), ('shape = "shared"',)),
    (project("existing"), OK, ("a launch makes its project.",), ()),
    (project("existing", there=True), OK, ("its project is there",), ()),
    (project("none", known=False), OK, ("a launch makes its project.",), ()),
    (project("existing", known=False), REFUSAL, ("ada is no user of the cloud",), ('users = "create"',)),
    (project("create", known=False), OK, ("a launch makes its project and its user.",), ()),
    (project("create", known=False, may=False), WARNING, ("this user may not",), ("Ask the operator",)),
    (project("existing", there=True, may=False), OK, (), ()),
    (checks.canary_ready(41, 97, 12), OK, ("after 41 s", "after 97 s", "12 s later"), ()),
    (checks.canary_failed("server", "no room", "ask"), REFUSAL, ("failed at server: no room",), ("ask",)),
    (unknown("canary", "it was left out."), UNKNOWN, ("Not known, because it was left out.",), ()),
)


@pytest.mark.parametrize(("found", "severity", "meaning", "fix"), CASES)
def test_rules(found: Finding, severity: str, meaning: tuple[str, ...], fix: tuple[str, ...]) -> None:
    assert found.severity == severity, found
    assert [words for words in meaning if words not in found.meaning] == []
    assert [words for words in fix if words not in found.fix] == []
    # What is wrong says what to do; what is right asks for nothing.
    assert bool(found.fix) == (severity in (WARNING, REFUSAL))


def test_a_shape_that_shares_is_not_asked_to_share() -> None:
    found = quota("routers", 10, 10, shape=Shape("shared"))
    assert found.fix == "Ask the operator for: openstack quota set --routers 20 project1"


def test_what_is_not_needed_or_not_limited_is_not_told() -> None:
    assert list(checks.quotas({"routers": 0, "stacks": 3}, {"routers": Quota(0, 0)}, "p", PRIVATE)) == []


@given(limit=st.integers(-1, 500), used=st.integers(0, 500), need=st.integers(1, 500))
def test_what_is_asked_for_is_enough_and_no_more(limit: int, used: int, need: int) -> None:
    found = quota("ports", limit, used, need)
    enough = limit < 0 or used + need <= limit
    assert (found.severity == OK) == enough
    if not enough:
        asked = int(re.findall(r"--ports (\d+)", found.fix)[0])
        after, less = quota("ports", asked, used, need), quota("ports", asked - 1, used, need)
        assert (after.severity, less.severity) == (OK, REFUSAL)


def test_they_are_shown_in_order() -> None:
    shown = in_order(Finding(name, OK, "") for name in reversed(NAMES))
    assert tuple(finding.name for finding in shown) == NAMES


def test_every_finding_is_in_the_reference_and_in_the_table_above() -> None:
    listed = re.findall(r"^\| `(\w+)`", (ROOT / "docs/preflight.md").read_text(), re.MULTILINE)
    assert tuple(listed) == NAMES
    assert {finding.name for finding, *_ in CASES} == set(NAMES)


def test_students_networks_are_those_of_the_template() -> None:
    template = yaml.safe_load((ROOT / "heat/student.yaml").read_text())
    assert template["parameters"]["cidr"]["default"] == OWN_SUBNET


def test_a_students_quota_is_one_machine_and_a_lock() -> None:
    assert allowance(PRIVATE, Flavor(2048, 1, 20, "m1.small", "2")) == {
        "instances": 1, "vCPUs": 1, "RAM (MiB)": 2048, "networks": 2, "subnets": 2, "routers": 1, "ports": 4,
        "security groups": 2, "security group rules": 10, "floating IPs": 1,
    }  # fmt: skip


def test_the_operator_is_no_admin_in_a_students_project() -> None:
    assert operator_roles(["admin", "heat_stack_owner", "reader"]) == ("heat_stack_owner", "member")
