"""Heat's stacks: how each call looks on the wire, and what is read from real answers."""

from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
import requests_mock as rm
from openstack.connection import Connection

from provision.cloud.stacks import (
    Fault,
    StackExistsError,
    create_stack,
    delete_stack,
    observe_shared,
    observe_stacks,
    stack_fault,
    stack_outputs,
    stack_waits,
)
from provision.core.plan import Stack

from .conftest import HEAT, NOVA

STACK = Stack("id1", "demo-26J-s001", "s001", "CREATE_COMPLETE", "", "2026-11-22T10:00:00Z")
PATH = f"{HEAT}/stacks/demo-26J-s001/id1"


def listed(student: str, status: str = "CREATE_COMPLETE", tags: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "id": f"id-{student}",
        "stack_name": f"demo-26J-{student}",
        "stack_status": status,
        "stack_status_reason": "Stack CREATE completed successfully",
        "creation_time": "2026-11-22T10:00:00Z",
        "tags": [*tags, f"student={student}"],
        "links": [{"rel": "self", "href": f"{HEAT}/stacks/demo-26J-{student}/id-{student}"}],
    }


def test_one_tagged_call_shows_all_stacks(cloud: Connection, http: rm.Mocker) -> None:
    strange = {**listed("x"), "tags": ["provision=demo-26J"]}
    http.get(f"{HEAT}/stacks", json={"stacks": [listed("s001"), listed("s002", "CREATE_IN_PROGRESS"), strange]})
    stacks = observe_stacks(cloud, "provision=demo-26J", "student=s001")
    assert [(stack.student, stack.status) for stack in stacks] == [
        ("s001", "CREATE_COMPLETE"),
        ("s002", "CREATE_IN_PROGRESS"),
    ]
    calls = [call for call in http.request_history if urlparse(call.url).path.endswith("/stacks")]
    assert [parse_qs(urlparse(call.url).query) for call in calls] == [{"tags": ["provision=demo-26J,student=s001"]}]


def test_what_is_shared_is_listed_by_a_tag_of_its_own(cloud: Connection, http: rm.Mocker) -> None:
    tags = ["provision=demo-26J", "shared"]
    shared = {**listed("x"), "stack_name": "demo-26J.shared-2", "id": "S2", "tags": tags}
    http.get(f"{HEAT}/stacks", json={"stacks": [shared, {**shared, "stack_name": "by-hand"}]})
    assert [(stack.id, stack.student) for stack in observe_shared(cloud, "provision=demo-26J")] == [("S2", "shared 2")]
    asked = [parse_qs(urlparse(call.url).query) for call in http.request_history if "stacks" in call.url]
    assert asked[-1] == {"tags": ["provision=demo-26J,shared"]}
    http.get(f"{HEAT}/stacks", json={"stacks": [shared, listed("a", tags=("place=S2",))]})
    assert [(stack.student, stack.place) for stack in observe_stacks(cloud, "provision=demo-26J")] == [("a", "S2")]


def test_a_stack_is_asked_for_with_its_tags_as_one_string(cloud: Connection, http: rm.Mocker) -> None:
    http.post(f"{HEAT}/stacks", status_code=201, json={"stack": {"id": "id1", "links": []}})
    create_stack(
        cloud, "demo-26J-s001", "heat_template_version: x", {"student": "s001"}, "provision=demo-26J", "student=s001"
    )
    posts = [call for call in http.request_history if call.method == "POST" and call.url.endswith("/stacks")]
    assert [call.json() for call in posts] == [
        {
            "stack_name": "demo-26J-s001",
            "template": "heat_template_version: x",
            "parameters": {"student": "s001"},
            "tags": "provision=demo-26J,student=s001",
            "timeout_mins": 30,
            "disable_rollback": True,
        }
    ]


def test_a_name_that_is_taken(cloud: Connection, http: rm.Mocker) -> None:
    error = {"error": {"message": "The Stack (demo-26J-s001) already exists.", "type": "StackExists"}}
    http.post(f"{HEAT}/stacks", status_code=409, json=error)
    with pytest.raises(StackExistsError):
        create_stack(cloud, "demo-26J-s001", "x", {}, "a=b")


def test_deleting_names_exactly_one_stack_and_minds_none_that_is_gone(cloud: Connection, http: rm.Mocker) -> None:
    http.delete(PATH, [{"status_code": 204}, {"status_code": 404}])
    delete_stack(cloud, STACK)
    delete_stack(cloud, STACK)
    assert sum(call.method == "DELETE" for call in http.request_history) == 2


def test_outputs_take_one_call(cloud: Connection, http: rm.Mocker) -> None:
    outputs = [{"output_key": "address", "output_value": "172.24.4.20", "description": ""}]
    http.get(PATH, json={"stack": {"id": "id1", "outputs": outputs}})
    before = len(http.request_history)
    assert stack_outputs(cloud, STACK) == {"address": "172.24.4.20"}
    assert len(http.request_history) - before == 1


def resource(name: str, status: str, reason: str, minute: int, *, nested: bool = False) -> dict[str, Any]:
    return {
        "resource_name": name,
        "resource_status": status,
        "resource_status_reason": reason,
        "updated_time": f"2026-11-22T10:{minute:02}:00Z",
        "links": [{"rel": "nested", "href": ""}] if nested else [{"rel": "self", "href": ""}],
    }


QUOTA = (
    "Conflict: resources.router: Quota exceeded for resources: ['router'].\nNeutron server returns request_ids: ['r']"
)


@pytest.mark.parametrize(
    ("resources", "fault"),
    [
        ([], Fault("stack", "Resource CREATE failed")),
        ([resource("network", "CREATE_COMPLETE", "state changed", 0)], Fault("stack", "Resource CREATE failed")),
        (
            [
                resource("server", "CREATE_FAILED", "No valid host", 2),
                resource("port", "CREATE_FAILED", "CREATE aborted", 1),
            ],
            Fault("server", "No valid host"),
        ),
        (
            [resource("late", "CREATE_FAILED", "second", 9), resource("router", "CREATE_FAILED", QUOTA, 3)],
            Fault("router", " ".join(QUOTA.split())),
        ),
        (
            [
                resource("group", "CREATE_FAILED", "resources.group: Resource CREATE failed", 1, nested=True),
                resource("server", "CREATE_FAILED", "the real reason", 2),
            ],
            Fault("server", "the real reason"),
        ),
    ],
)
def test_the_resource_that_failed_and_why(
    cloud: Connection, http: rm.Mocker, resources: list[dict[str, Any]], fault: Fault
) -> None:
    http.get(f"{PATH}/resources?nested_depth=3", json={"resources": resources})
    failed = Stack("id1", "demo-26J-s001", "s001", "CREATE_FAILED", "Resource CREATE failed", "")
    assert stack_fault(cloud, failed) == fault


def test_what_a_stack_waits_for_is_told_in_novas_words(cloud: Connection, http: rm.Mocker) -> None:
    resources = [
        waiting("network", "OS::Neutron::Net", "CREATE_COMPLETE"),
        waiting("port", "OS::Neutron::Port", "CREATE_IN_PROGRESS"),
        waiting("machine", "OS::Nova::Server", "CREATE_IN_PROGRESS"),
    ]
    http.get(f"{PATH}/resources?nested_depth=3", json={"resources": resources})
    http.get(f"{NOVA}/servers/id-machine", json={"server": {"status": "BUILD", "OS-EXT-STS:task_state": "spawning"}})
    assert stack_waits(cloud, STACK) == [
        "port (OS::Neutron::Port): CREATE_IN_PROGRESS",
        "machine (OS::Nova::Server): BUILD, task spawning",
    ]


def waiting(name: str, kind: str, status: str) -> dict[str, str]:
    facts = {"resource_name": name, "resource_type": kind, "resource_status": status}
    return facts | {"physical_resource_id": f"id-{name}"}
