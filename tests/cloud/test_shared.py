"""Shared networks in the launch loop: made first, filled from what exists, deleted last, told of when they fail."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests_mock as rm
from openstack.connection import Connection

from provision.cloud.stacks import observe_shared, observe_stacks
from provision.core.outcome import Failed, Outcome
from provision.core.privacy import Labels
from provision.core.roster import Student
from provision.core.shape import ROOM, Shape
from provision.errors import StudentsFailedError
from provision.progress import Silent
from provision.workflows.cohort import delete, find_cohort, launch, status
from provision.workflows.handouts import ensure_handouts
from provision.workflows.machine import find_machine

from ..simulator.clock import VirtualClock
from .test_launch import COMPLETE, GOING, NO_HOST, TAG, Heat, nothing_left, order
from .test_preflight import cloud_has

SHARED = Shape("shared")
BEHIND_GATEWAY = Shape("shared", floating_ip=False, web_cidr="192.0.2.0/24", ssh_cidr=None)


def shared(heat: Heat, number: int, state: str = COMPLETE) -> str:
    """Add a shared stack, and return its id."""
    heat.add("", state, f"{TAG},shared", f"demo-26J.shared-{number}")
    return f"id{heat.made}"


def run(cloud: Connection, folder: Path, *students: str, shape: Shape = SHARED) -> dict[str, Outcome]:
    outcomes = launch(
        cloud,
        replace(order(*students), shape=shape),
        folder=folder,
        deadline=3,  # a busy computer takes more than one second
        progress=Silent(),
        clock=VirtualClock(),
    )
    return {outcome.student: outcome for outcome in outcomes}


def posted(http: rm.Mocker) -> list[Any]:
    return [call.json() for call in http.request_history if call.method == "POST" and call.url.endswith("/stacks")]


def test_the_shared_network_is_complete_before_its_students(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    cloud_has(http, routers=10)
    heat = Heat(http)
    run(cloud, tmp_path, "a")
    assert heat.asked() == ["POST demo-26J.shared-1", "POST demo-26J-a"]
    network, machine = posted(http)
    assert network["tags"] == f"{TAG},shared"
    assert len(network["parameters"].pop("web_cidrs").split(",")) == 24
    assert len(network["parameters"].pop("ssh_cidrs").split(",")) == 24
    assert network["parameters"] == {"tag": TAG, "external_network": "net1"}
    assert machine["tags"] == f"{TAG},student=a,place=id1"
    own = {"shared_network": "N1", "shared_group": "G1", "gateway": ""}
    assert own.items() <= machine["parameters"].items()
    assert not {"web_cidrs", "ssh_cidrs", "cidr"} & set(machine["parameters"])
    assert [stack.place for stack in observe_stacks(cloud, TAG)] == ["id1"]
    assert [(stack.student, stack.place) for stack in observe_shared(cloud, TAG)] == [("shared 1", "")]


def test_a_grown_roster_goes_where_there_is_room(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    cloud_has(http)
    heat = Heat(http)
    full, half = shared(heat, 1), shared(heat, 2)
    for number in range(ROOM):
        heat.add(f"x{number}", COMPLETE, f"{TAG},student=x{number},place={full}")
    heat.add("a", COMPLETE, f"{TAG},student=a,place={half}")
    run(cloud, tmp_path, "b", "a")
    assert [body["tags"] for body in posted(http)] == [f"{TAG},student=b,place={half}"]


def test_machines_behind_a_gateway_are_reached_through_its_ports(
    cloud: Connection, http: rm.Mocker, tmp_path: Path
) -> None:
    cloud_has(http)
    heat = Heat(http)
    heat.gateway = "127.0.0.1"
    http.get("http://cloud.example/nova/v2.1/limits", json={"limits": {"absolute": {}, "rate": []}})
    outcome = run(cloud, tmp_path, "a", shape=BEHIND_GATEWAY)["a"]
    assert isinstance(outcome, Failed)
    assert "connecting to 127.0.0.1 port 20017" in outcome.reason
    network, machine = posted(http)
    assert network["parameters"] == {
        "tag": TAG,
        "external_network": "net1",
        "web_cidrs": "192.0.2.0/24",
        "ssh_cidrs": "",
        "gateway_name": network["parameters"]["gateway_name"],
        "gateway_image": "image1",
        "gateway_flavor": "id-m1.small",
        "web_port": "80",
    }
    assert network["parameters"]["gateway_name"].startswith("demo-26J--gateway-1")
    assert machine["parameters"]["gateway"] == "127.0.0.1"
    access = find_machine(cloud, "demo-26J", "a", tmp_path, Labels())
    assert (access.url, access.ssh_port) == ("http://127.0.0.1:20017/", 30017)


def test_a_network_that_fails_fails_its_students_alone(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    cloud_has(http)
    heat = Heat(http, fate={"1": "CREATE_FAILED"})
    heat.add("kept", COMPLETE, f"{TAG},student=kept,place=idX")
    ensure_handouts(tmp_path, [Student("kept", "K", "k@x.org")], "student", "http")
    outcomes = run(cloud, tmp_path, "kept", "new")
    assert heat.asked() == ["POST demo-26J.shared-1"]
    kept, new = outcomes["kept"], outcomes["new"]
    assert isinstance(kept, Failed)
    assert kept.stage == "network", "it was proved, and nothing listens there"
    assert isinstance(new, Failed)
    assert (new.stage, NO_HOST in new.reason) == ("shared network", True)
    assert new.reason.startswith("shared 1 has no network for it: failed at server: No compute node has room")


@pytest.mark.parametrize(("fate", "asked"), [("unanswered", 1), ("busy", 2)])
def test_a_bad_answer_is_not_the_end(cloud: Connection, http: rm.Mocker, tmp_path: Path, fate: str, asked: int) -> None:
    cloud_has(http)
    heat = Heat(http, fate={"1": fate})
    run(cloud, tmp_path, "a")
    assert heat.asked() == ["POST demo-26J.shared-1"] * asked + ["POST demo-26J-a"]
    assert len(observe_shared(cloud, TAG)) == 1


def test_a_network_without_room_is_not_asked_for_twice(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    cloud_has(http)
    heat = Heat(http, fate={"1": "refused"})
    outcome = run(cloud, tmp_path, "a")["a"]
    assert isinstance(outcome, Failed)
    assert "A quota of the project is used up" in outcome.reason
    assert heat.asked() == ["POST demo-26J.shared-1"]


def test_a_network_that_failed_before_is_made_anew(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    cloud_has(http)
    heat = Heat(http)
    shared(heat, 1, "CREATE_FAILED")
    run(cloud, tmp_path, "a")
    assert heat.asked() == ["DELETE demo-26j.shared-1", "POST demo-26J.shared-1", "POST demo-26J-a"]


def test_a_network_that_never_gets_done_is_given_up(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    cloud_has(http)
    heat = Heat(http, fate={"1": GOING})
    outcome = run(cloud, tmp_path, "a")["a"]
    assert isinstance(outcome, Failed)
    assert "it is still CREATE_IN_PROGRESS after 3 s; it waits for router" in outcome.reason
    assert heat.asked() == ["POST demo-26J.shared-1"]


def test_a_strangers_stack_of_that_name_is_told_of(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    cloud_has(http)
    heat = Heat(http)
    heat.add("", COMPLETE, "somebody=else", "demo-26J.shared-1")
    outcome = run(cloud, tmp_path, "a")["a"]
    assert isinstance(outcome, Failed)
    assert "demo-26J.shared-1 does not appear within 3 s" in outcome.reason
    assert "openstack stack delete demo-26J.shared-1" in outcome.hint


def test_deleting_takes_the_students_first(cloud: Connection, http: rm.Mocker) -> None:
    heat = Heat(http)
    nothing_left(http)
    place = shared(heat, 1)
    heat.add("a", COMPLETE, f"{TAG},student=a,place={place}")
    assert [stack.name for stack in find_cohort(cloud, "demo-26J")] == ["demo-26J-a", "demo-26J.shared-1"]
    assert delete(cloud, "demo-26J", deadline=30, progress=Silent(), clock=VirtualClock()) == 2
    assert heat.asked() == ["DELETE demo-26j-a", "DELETE demo-26j.shared-1"]
    assert heat.stacks == {}


def test_a_network_is_not_deleted_under_a_student_who_stays(cloud: Connection, http: rm.Mocker) -> None:
    nothing_left(http)
    heat = Heat(http, fate={"delete": COMPLETE})
    heat.add("a", COMPLETE, f"{TAG},student=a,place={shared(heat, 1)}")
    with pytest.raises(StudentsFailedError, match="demo-26J-a: still CREATE_COMPLETE"):
        delete(cloud, "demo-26J", deadline=0.1, progress=Silent(), clock=VirtualClock())
    assert heat.asked() == ["DELETE demo-26j-a"]


@pytest.mark.parametrize(
    ("state", "shown"), [(COMPLETE, []), (GOING, []), ("CREATE_FAILED", ["shared 1"]), ("DELETE_FAILED", ["shared 1"])]
)
def test_status_tells_of_networks_with_which_something_is_wrong(
    cloud: Connection, http: rm.Mocker, tmp_path: Path, state: str, shown: list[str]
) -> None:
    heat = Heat(http, fate={"1": state})
    shared(heat, 1, state)
    heat.add("a", GOING)
    standings = status(cloud, order("a"), folder=tmp_path, deadline=0.1)
    assert [standing.student for standing in standings] == ["a", *shown]
    assert [each.outcome.stage for each in standings[1:] if isinstance(each.outcome, Failed)] == ["server"] * len(shown)
