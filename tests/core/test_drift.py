"""What is wrong with machines whose stacks look right: one case for each, and none for what is right."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from provision.core.drift import FloatingIP, Group, Parts, Port, Rule, gateway_rules, plan_repair, wanted_rules
from provision.core.plan import Stack, plan_cohort
from provision.core.servers import Server
from provision.core.shape import Shape

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
STACK = Stack("id1", "demo-26J-ada", "ada", "CREATE_COMPLETE", "", "2026-11-22T10:00:00Z")
LAN = Shape(web_cidr="192.0.2.0/24", ssh_cidr="198.51.100.7/32")
SHARED = Shape("shared", floating_ip=False, web_cidr="192.0.2.0/24", ssh_cidr=None)
WANTED = {rule: f"r{number}" for number, rule in enumerate(sorted(wanted_rules(LAN), key=str))}
SERVER = Server("s1", "demo-26J-ada", "ACTIVE")
PORT = Port("p1", "demo-26J-ada-port-abc", "s1", "10.20.0.5")
RIGHT = Parts(
    (SERVER,),
    {"s1": "ada"},
    (PORT,),
    (FloatingIP("f1", "203.0.113.4", "p1"),),
    (Group("g1", "demo-26J-ada-security_group-abc", WANTED),),
)


def server(status: str, **more: str) -> Parts:
    return replace(RIGHT, servers=(replace(SERVER, status=status, **more),))  # type: ignore[arg-type]  # all are text


def rules(*without: Rule, also: Rule | None = None) -> Parts:
    held = {rule: id_ for rule, id_ in WANTED.items() if rule not in without}
    return replace(RIGHT, groups=(replace(RIGHT.groups[0], rules=held | ({also: "r9"} if also else {})),))


def found(stack: Stack, parts: Parts, shape: Shape = LAN, shared: tuple[Stack, ...] = ()) -> list[tuple[str, str]]:
    repairs = plan_repair(plan_cohort(["ada", "new"], [stack]), shared, parts, shape, NOW)
    return [(each.cure + (" loses" if each.loses else ""), each.why) for each in repairs]


@pytest.mark.parametrize(
    ("parts", "wrong"),
    [
        (RIGHT, []),
        (replace(RIGHT, servers=(), owners={}), [("replace loses", "its server is gone")]),
        (server("SHUTOFF"), [("start", "its server is SHUTOFF")]),
        (server("PAUSED"), [("start", "its server is PAUSED")]),
        (server("ERROR", fault="no host"), [("reboot", "its server is in ERROR: no host")]),
        (server("SHUTOFF", task="powering-on"), []),
        (server("SUSPENDED"), []),
        (server("SHELVED_OFFLOADED"), []),
        (server("REBOOT"), []),
        (replace(RIGHT, ports=()), [("replace loses", "its server has lost its port")]),
        (replace(RIGHT, addresses=()), [("address", "its floating IP is gone")]),
        (replace(RIGHT, addresses=(FloatingIP("f1", "203.0.113.4", ""),)), [("address", "its floating IP is gone")]),
        (
            rules(Rule("tcp", 443, 443, "192.0.2.0/24")),
            [("open", "tcp 443 from 192.0.2.0/24 should be open")],
        ),
        (
            rules(Rule("icmp", 3, 4, "0.0.0.0/0"), also=Rule("any", None, None, "::/0", "IPv6")),
            [
                ("open", "icmp 3-4 from 0.0.0.0/0 should be open"),
                ("close", "any from ::/0 is open, and should not be"),
            ],
        ),
        (replace(RIGHT, groups=(*RIGHT.groups, Group("g2", "demo-26J-bob-security_group-x", {}))), []),
    ],
)
def test_what_a_right_stack_hides(parts: Parts, wrong: list[tuple[str, str]]) -> None:
    assert found(STACK, parts) == wrong


@pytest.mark.parametrize(
    ("status", "created", "updated", "wrong"),
    [
        ("CREATE_FAILED", "2026-11-22T11:59:00Z", "", ["replace"]),
        ("DELETE_FAILED", "2026-11-22T11:59:00Z", "", ["replace"]),
        ("CREATE_IN_PROGRESS", "2026-11-22T11:30:00Z", "", []),
        ("CREATE_IN_PROGRESS", "2026-11-22T11:00:00Z", "", ["replace"]),
        ("CREATE_IN_PROGRESS", "", "", []),
        ("UPDATE_IN_PROGRESS", "2026-11-22T11:00:00Z", "2026-11-22T11:50:00Z", []),
        ("UPDATE_IN_PROGRESS", "2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z", ["update"]),
        ("UPDATE_FAILED", "2026-11-22T10:00:00Z", "", ["update"]),
    ],
)
def test_stacks_that_are_not_right(status: str, created: str, updated: str, wrong: list[str]) -> None:
    stack = replace(STACK, status=status, created=created, updated=updated)
    assert [cure for cure, _ in found(stack, RIGHT)] == wrong


def test_a_machine_that_sleeps_is_not_made_by_an_update() -> None:
    assert found(replace(STACK, status="UPDATE_FAILED"), server("SUSPENDED")) == []


def test_a_gateway_and_its_rules() -> None:
    stack = replace(STACK, place="id9")
    shared = Stack("id9", "demo-26J.shared-1", "shared 1", "CREATE_COMPLETE", "", "2026-11-22T10:00:00Z")
    gateway = Server("s9", "demo-26J--gateway-1", "ACTIVE")
    inner = dict.fromkeys(wanted_rules(SHARED, "10.21.0.9"), "r")
    assert {rule.source for rule in inner} == {"10.21.0.9/32", "0.0.0.0/0"}
    right = Parts(
        (SERVER, gateway),
        {"s1": "ada", "s9": "shared 1"},
        (PORT, Port("p9", "demo-26J.shared-1-gateway_port-abc", "s9", "10.21.0.9")),
        (FloatingIP("f9", "203.0.113.4", "p9"),),
        (
            Group("g8", "demo-26J.shared-1-security_group-abc", inner),
            Group("g9", "demo-26J.shared-1-gateway_group-abc", dict.fromkeys(gateway_rules(SHARED), "r")),
        ),
    )
    assert found(stack, right, SHARED, (shared,)) == []
    opened = replace(right.groups[1], rules={**right.groups[1].rules, Rule("tcp", 1, 65535, "0.0.0.0/0"): "r"})
    wrong = replace(right, servers=(SERVER, replace(gateway, status="SHUTOFF")), groups=(right.groups[0], opened))
    assert found(stack, wrong, SHARED, (shared,)) == [
        ("start", "its server is SHUTOFF"),
        ("close", "tcp 1-65535 from 0.0.0.0/0 is open, and should not be"),
    ]
