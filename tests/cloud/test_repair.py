"""A cohort is healed against a cloud that keeps what it is told: only what is wrong is touched, and then proved."""

import re
from dataclasses import replace as with_
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests_mock as rm
from openstack.connection import Connection

from provision.core.drift import wanted_rules
from provision.core.outcome import Failed
from provision.core.roster import Student
from provision.core.shape import PRIVATE
from provision.errors import ProvisionError
from provision.progress import Silent
from provision.workflows.handouts import ensure_handouts, read_handouts
from provision.workflows.orders import Choice
from provision.workflows.repair import With, find_repairs, repair

from .conftest import GLANCE, HEAT, NEUTRON, NOVA
from .nova import Nova
from .test_launch import COMPLETE, GOING, TAG, Heat, order
from .test_preflight import cloud_has

LATE = 4  # looks
NOW = datetime(2026, 11, 22, 10, 5, tzinfo=UTC)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cloud that is asked every moment."""
    for module in ("servers", "repair"):
        monkeypatch.setattr(f"provision.workflows.{module}.POLL", 0.05)


class Cloud:
    """A class of machines with all that belongs to them; what is taken away is drift."""

    def __init__(self, http: rm.Mocker, folder: Path, *students: str) -> None:
        cloud_has(http, routers=100)
        http.get(f"{NOVA}/limits", json={"limits": {"absolute": {}, "rate": []}})
        self.heat, self.nova, self.http = Heat(http), Nova(http), http
        self.ports: dict[str, Any] = {}
        self.addresses: dict[str, Any] = {}
        self.groups: dict[str, Any] = {}
        self.states = {"server": COMPLETE, "port": COMPLETE}
        self.patched: list[str] = []
        self.going: list[dict[str, Any]] = []
        self.looks = 0
        for student in students:
            self.add(student)
        ensure_handouts(folder, [Student(each, each, "a@x.org") for each in students], "student", "http")
        net = f"{NEUTRON}/v2.0"
        http.get(f"{net}/ports", json=lambda *_: {"ports": list(self.ports.values())})
        http.get(f"{net}/floatingips", json=lambda *_: {"floatingips": list(self.addresses.values())})
        http.get(f"{net}/security-groups", json=lambda *_: {"security_groups": list(self.groups.values())})
        http.post(f"{net}/security-group-rules", json={"security_group_rule": {}}, status_code=201)
        http.delete(re.compile(f"{net}/security-group-rules/"), status_code=204)
        http.patch(re.compile(f"{HEAT}/stacks/"), json=self.patch)
        http.get(f"{HEAT}/stacks", json=self.index)
        http.delete(re.compile(f"{HEAT}/stacks/"), json=self.delete)
        http.get(re.compile(rf"{HEAT}/stacks/[^/]+/[^/]+/resources"), json=self.resources)
        http.get(re.compile(rf"{HEAT}/stacks/demo-26J-[^/]+/[^/]+$"), json=self.show)

    def add(self, student: str) -> None:
        name = f"demo-26J-{student}"
        self.heat.add(student, COMPLETE)
        self.nova.add(student, "ACTIVE")
        self.ports[student] = {
            "id": f"p-{student}", "name": f"{name}-port-x", "device_id": f"s-{student}", "fixed_ips": []
        }  # fmt: skip
        self.addresses[student] = {
            "id": f"f-{student}", "port_id": f"p-{student}", "floating_ip_address": "203.0.113.4"
        }  # fmt: skip
        self.groups[student] = {
            "id": f"g-{student}",
            "name": f"{name}-security_group-x",
            "security_group_rules": [
                {
                    "id": f"{student}-{rule}", "direction": "ingress", "ethertype": "IPv4", "protocol": rule.protocol,
                    "port_range_min": rule.low, "port_range_max": rule.high, "remote_ip_prefix": rule.source,
                }
                for rule in sorted(wanted_rules(PRIVATE), key=str)
            ] + [{"id": "out", "direction": "egress", "ethertype": "IPv4", "protocol": None}],
        }  # fmt: skip

    def stack(self, student: str) -> dict[str, Any]:
        return next(stack for path, stack in self.heat.stacks.items() if path.startswith(f"demo-26J-{student}/"))

    def index(self, request: Any, context: Any) -> Any:
        """A list shows a deletion only some looks after it was asked for."""
        shown = self.heat.index(request, context)
        self.looks += 1
        while self.going and self.looks > LATE:
            self.going.pop()["stack_status"] = "DELETE_IN_PROGRESS"
        return shown

    def delete(self, request: Any, context: Any) -> None:
        self.looks = 0
        student = request.path.split("/")[-2].partition("26j-")[2]
        self.heat.fate.pop(student, None)
        self.going.append(self.stack(student))
        context.status_code = 204

    def show(self, request: Any, _context: Any) -> Any:
        student = request.path.split("/")[-2].partition("26j-")[2]
        outputs = {"address": "127.0.0.1", "server_id": f"s-{student}"}
        return {"stack": {"outputs": [{"output_key": key, "output_value": value} for key, value in outputs.items()]}}

    def resources(self, _request: Any, _context: Any) -> Any:
        return {"resources": [{"resource_name": name, "resource_status": state} for name, state in self.states.items()]}

    def patch(self, request: Any, context: Any) -> Any:
        student, _, what = request.path.partition("26j-")[2].partition("/")
        self.patched.append(f"{student} {what.partition('/')[2]}".strip())
        context.status_code = 202
        if "/resources/" not in request.path:
            assert not {"template", "parameters", "tags"} & set(request.json()), "Heat keeps what it has"
            self.stack(student)["stack_status"] = "UPDATE_COMPLETE"
            self.stack(student)["updated_time"] = "2026-11-22T10:04:00Z"
        return {}

    def rules(self) -> list[str]:
        """What was asked of the rules."""
        calls = [call for call in self.http.request_history if "/security-group-rules" in call.url]
        return [
            f"{call.method} {call.path.rpartition('/')[2] if call.method == 'DELETE' else call.text}" for call in calls
        ]


def heal(
    connection: Connection, folder: Path, *students: str, replace: bool = False, now: datetime = NOW
) -> dict[str, tuple[str, str]]:
    wanted = with_(order(*students), choice=Choice(flavor="m1.small"))
    repairs = find_repairs(connection, wanted, now)
    terms = With(folder, deadline=2, replace=replace)
    outcomes = repair(connection, wanted, repairs, terms, Silent())
    return {each.student: (each.stage, each.reason) for each in outcomes if isinstance(each, Failed)}


def test_what_is_right_is_left_alone(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    there = Cloud(http, tmp_path, "ada", "bob")
    before = len(http.request_history)
    assert heal(cloud, tmp_path, "ada", "bob", "new") == {}
    asked = [
        call
        for call in http.request_history[before:]
        if "/stacks" in call.url or "/servers" in call.url or "/v2.0" in call.url
    ]
    assert len(asked) == 6
    assert (there.heat.asked(), there.nova.asked, there.patched, there.rules()) == ([], [], [], [])


def test_what_stopped_is_started_with_all_that_is_on_it(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    there = Cloud(http, tmp_path, "ada", "bob", "eve", "sleeper")
    there.nova.servers["s-ada"]["status"] = "SHUTOFF"
    there.nova.servers["s-bob"]["status"] = "ERROR"
    there.nova.servers["s-sleeper"]["status"] = "SUSPENDED"
    # Nothing listens at this cloud's addresses: who gets as far as the network was healed, and is proved.
    ended = heal(cloud, tmp_path, "ada", "bob", "eve", "sleeper")
    assert {student: stage for student, (stage, _) in ended.items()} == {"ada": "network", "bob": "network"}
    assert there.nova.asked == ["reboot bob", "os-start ada"]
    assert there.heat.asked() == []


def test_what_cannot_be_started_is_replaced_only_when_that_is_said(
    cloud: Connection, http: rm.Mocker, tmp_path: Path
) -> None:
    there = Cloud(http, tmp_path, "bob")
    there.nova.servers["s-bob"]["status"] = "ERROR"
    there.nova.fate["bob"] = (409, 99)
    stage, reason = heal(cloud, tmp_path, "bob")["bob"]
    assert (stage, there.heat.asked()) == ("reboot", [])
    assert "It is in use" in reason
    assert heal(cloud, tmp_path, "bob", replace=True)["bob"][0] == "network"
    assert there.heat.asked() == ["DELETE demo-26j-bob", "POST demo-26J-bob"]


def test_a_machine_whose_reboot_does_not_help(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    there = Cloud(http, tmp_path, "bob")
    http.post(re.compile("/servers/[^/]+/action"), status_code=202)  # and nothing comes of it
    there.nova.servers["s-bob"]["status"] = "ERROR"
    assert heal(cloud, tmp_path, "bob") == {"bob": ("server", "its server is in ERROR")}
    assert there.heat.asked() == []
    password = read_handouts(tmp_path)["bob"].password
    assert heal(cloud, tmp_path, "bob", replace=True)["bob"][0] == "network"
    assert there.heat.asked() == ["DELETE demo-26j-bob", "POST demo-26J-bob"]
    assert read_handouts(tmp_path)["bob"].password == password


def test_failed_and_stuck_stacks_are_made_anew(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    there = Cloud(http, tmp_path, "ada", "failed", "stuck")
    there.stack("failed")["stack_status"] = "CREATE_FAILED"
    there.stack("stuck")["stack_status"] = there.heat.fate["stuck"] = GOING
    ended = heal(cloud, tmp_path, "ada", "failed", "stuck", now=NOW.replace(hour=12))
    assert {student: stage for student, (stage, _) in ended.items()} == {"failed": "network", "stuck": "network"}
    assert sorted(there.heat.asked()) == [
        "DELETE demo-26j-failed", "DELETE demo-26j-stuck", "POST demo-26J-failed", "POST demo-26J-stuck"
    ]  # fmt: skip


def test_a_server_that_is_gone_is_made_anew_and_one_that_was_renamed_is_not(
    cloud: Connection, http: rm.Mocker, tmp_path: Path
) -> None:
    there = Cloud(http, tmp_path, "gone", "renamed")
    del there.nova.servers["s-gone"]
    there.nova.servers["s-renamed"]["name"] = "mine"
    ended = heal(cloud, tmp_path, "gone", "renamed")
    assert ended["gone"][0] == "network"
    assert ended["renamed"] == (
        "server", "its server is gone, though Nova may know it: renamed, or changed by hand"
    )  # fmt: skip
    assert there.heat.asked() == ["DELETE demo-26j-gone", "POST demo-26J-gone"]


def test_nothing_is_deleted_that_cannot_be_made_again(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    there = Cloud(http, tmp_path, "failed")
    there.stack("failed")["stack_status"] = "CREATE_FAILED"
    http.get(f"{GLANCE}/v2/images", json={"images": []})
    with pytest.raises(ProvisionError, match="demo-26J"):
        heal(cloud, tmp_path, "failed")
    assert there.heat.asked() == []


def test_a_floating_ip_that_is_gone_comes_back_by_heat_alone(
    cloud: Connection, http: rm.Mocker, tmp_path: Path
) -> None:
    there = Cloud(http, tmp_path, "ada", "bob")
    del there.addresses["ada"]
    assert heal(cloud, tmp_path, "ada", "bob")["ada"][0] == "network"
    assert there.patched == ["ada resources/floating_ip", "ada"]
    there.patched.clear()
    there.states["server"] = "CHECK_FAILED"
    stage, reason = heal(cloud, tmp_path, "ada", "bob")["ada"]
    assert (stage, there.patched, there.heat.asked()) == ("address", [], [])
    assert "Heat would make its server anew (CHECK_FAILED)" in reason


def test_a_rule_opened_by_hand_is_closed_and_one_that_is_gone_opened(
    cloud: Connection, http: rm.Mocker, tmp_path: Path
) -> None:
    there = Cloud(http, tmp_path, "ada")
    rules = there.groups["ada"]["security_group_rules"]
    rules[0] |= {"id": "byhand", "protocol": "tcp", "port_range_min": 8080, "port_range_max": 8080}
    wanted = "icmp 3-4 from 0.0.0.0/0"
    assert [each.why for each in find_repairs(cloud, order("ada"), NOW)] == [
        f"{wanted} should be open", "tcp 8080 from 0.0.0.0/0 is open, and should not be"
    ]  # fmt: skip
    there.nova.servers["s-ada"]["status"] = "SUSPENDED"
    assert heal(cloud, tmp_path, "ada") == {}, "nobody who sleeps is proved"
    there.nova.servers["s-ada"]["status"] = "ACTIVE"
    assert heal(cloud, tmp_path, "ada")["ada"][0] == "network"
    opened, closed = there.rules()[2:]
    assert closed == "DELETE byhand"
    assert opened.startswith("POST ")
    assert '"protocol": "icmp"' in opened
    assert TAG not in opened
