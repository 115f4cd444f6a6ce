"""The launch loop against a Heat that keeps stacks: what is asked for, once, and how it ends for each student."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import requests_mock as rm
from openstack.connection import Connection

from provision.core.outcome import Failed
from provision.core.privacy import Labels
from provision.core.roster import Student
from provision.errors import NotFoundError, PreflightError, StudentsFailedError
from provision.progress import Silent
from provision.workflows.cohort import delete, find_cohort, launch, plan, status
from provision.workflows.handouts import ensure_handouts, read_handouts
from provision.workflows.machine import find_machine
from provision.workflows.orders import Order

from .conftest import HEAT, NEUTRON, NOVA, lock_is_free
from .test_preflight import COURSE, cloud_has

TAG = "provision=demo-26J"
GOING = "CREATE_IN_PROGRESS"
COMPLETE = "CREATE_COMPLETE"
NO_HOST = 'ResourceInError: resources.server: Went to status ERROR due to "Message: No valid host was found."'


class Heat:
    """Stacks by name. A new one goes on for a list call, then becomes what `fate` says, or complete."""

    def __init__(self, http: rm.Mocker, *, fate: dict[str, str] | None = None) -> None:
        self.http, self.fate, self.made = http, fate or {}, 0
        self.gateway = ""
        self.stacks: dict[str, dict[str, Any]] = {}
        http.get(f"{NOVA}/servers/detail", json={"servers": []})
        http.get(f"{HEAT}/stacks", json=self.index)
        http.post(f"{HEAT}/stacks", json=self.create)
        http.delete(re.compile(f"{HEAT}/stacks/"), json=self.delete)
        http.get(re.compile(rf"{HEAT}/stacks/[^/]+/[^/]+$"), json=self.show)
        http.get(re.compile(rf"{HEAT}/stacks/[^/]+/[^/]+/resources"), json=self.resources)

    def add(self, student: str, state: str, tags: str | None = None, name: str | None = None) -> None:
        self.made += 1
        name = name or f"demo-26J-{student}"
        self.stacks[f"{name}/id{self.made}"] = {
            "id": f"id{self.made}",
            "stack_name": name,
            "stack_status": state,
            "stack_status_reason": "",
            "creation_time": f"2026-11-22T10:00:{self.made:02}Z",
            "tags": (tags or f"{TAG},student={student}").split(","),
        }

    def whose(self, name: str, tags: list[str]) -> str:
        """The student of a stack, or the number of one that is shared."""
        students = [tag.removeprefix("student=") for tag in tags if tag.startswith("student=")]
        return students[0] if students else name.rpartition("-")[2]

    def there(self) -> list[dict[str, Any]]:
        return [stack for stack in self.stacks.values() if stack["stack_status"] != "DELETE_COMPLETE"]

    def index(self, request: Any, _context: Any) -> Any:
        tags = parse_qs(urlsplit(request.url).query).get("tags", [])
        asked = {tag for each in tags for tag in each.split(",")}
        answer = json.dumps([stack for stack in self.there() if asked <= set(stack["tags"])])
        for path, stack in list(self.stacks.items()):
            if stack["stack_status"] == GOING:
                stack["stack_status"] = self.fate.get(self.whose(stack["stack_name"], stack["tags"]), COMPLETE)
            elif stack["stack_status"] == "DELETE_IN_PROGRESS":
                del self.stacks[path]
        return {"stacks": json.loads(answer)}

    def create(self, request: Any, context: Any) -> Any:
        body = request.json()
        student = self.whose(body["stack_name"], body["tags"].split(","))
        context.status_code = 201
        context.headers["Content-Type"] = "application/json"
        if self.fate.get(student) == "unanswered":
            del self.fate[student]
            self.add(student, GOING, body["tags"], body["stack_name"])
            raise requests.ConnectionError("Connection aborted.")
        if self.fate.get(student) == "busy":
            del self.fate[student]
            context.status_code = 503
            return {"error": {"message": "Try later"}}
        if self.fate.get(student) == "refused":
            context.status_code = 403
            return {"error": {"message": "Quota exceeded for cores"}}
        if any(stack["stack_name"] == body["stack_name"] for stack in self.there()):
            context.status_code = 409
            return {"error": {"message": "exists"}}
        self.add(student, GOING, body["tags"], body["stack_name"])
        return {"stack": {"id": "x", "links": []}}

    def delete(self, request: Any, context: Any) -> Any:
        path = request.path.partition("/stacks/")[2]  # in small letters
        stack = next(stack for name, stack in self.stacks.items() if name.lower() == path)
        stack["stack_status"] = self.fate.get("delete", "DELETE_IN_PROGRESS")
        context.status_code = 204

    def show(self, request: Any, _context: Any) -> Any:
        # Nothing listens there: what is complete fails its proof at once.
        outputs = {"address": "127.0.0.1", "gateway": self.gateway, "inner_address": "10.21.0.17"}
        if ".shared-" in request.path:
            outputs = {"shared_network": "N1", "shared_group": "G1", "gateway": self.gateway}
        return {"stack": {"outputs": [{"output_key": key, "output_value": value} for key, value in outputs.items()]}}

    def resources(self, _request: Any, _context: Any) -> Any:
        server = {"resource_name": "server", "resource_status": "CREATE_FAILED", "resource_status_reason": NO_HOST}
        router = {"resource_name": "router", "resource_type": "OS::Neutron::Router", "resource_status": GOING}
        return {"resources": [{**server, "updated_time": "2026-11-22T10:00:00Z"}, router]}

    def asked(self) -> list[str]:
        """What was asked of Heat that changes something."""
        return [
            f"{call.method} {call.json()['stack_name'] if call.method == 'POST' else call.path.split('/')[-2]}"
            for call in self.http.request_history
            if call.method in ("POST", "DELETE") and "/stacks" in call.url
        ]


def order(*students: str) -> Order:
    return Order(COURSE, "demo-26J", "26J", tuple(Student(each, each.title(), f"{each}@x.org") for each in students))


def run(cloud: Connection, folder: Path, *students: str) -> dict[str, tuple[str, str]]:
    outcomes = launch(cloud, order(*students), folder=folder, deadline=7, progress=Silent())
    return {each.student: (each.stage, each.reason) for each in outcomes if isinstance(each, Failed)}


def test_each_student_ends_in_an_outcome_of_his_own(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    cloud_has(http, routers=100)
    http.get(f"{NOVA}/limits", json={"limits": {"absolute": {}, "rate": []}})
    heat = Heat(http, fate={"crowded": "CREATE_FAILED", "poor": "refused", "slow": GOING})
    heat.add("kept", COMPLETE)
    heat.add("broken", "CREATE_FAILED")
    heat.add("foreign", COMPLETE, tags="somebody=else")
    heat.add("gone", COMPLETE)  # no longer in the roster
    ensure_handouts(tmp_path, [Student("kept", "K", "k@x.org")], "student", "http")
    password = read_handouts(tmp_path)["kept"].password
    outcomes = run(cloud, tmp_path, "kept", "new", "broken", "crowded", "poor", "foreign", "slow")
    assert {student: stage for student, (stage, _) in outcomes.items()} == {
        "kept": "network",
        "new": "network",
        "broken": "network",
        "crowded": "server",
        "poor": "create",
        "foreign": "create",
        "slow": "stack",
    }
    waits = "it waits for router (OS::Neutron::Router): CREATE_IN_PROGRESS"
    assert outcomes["slow"][1] == f"its stack is still CREATE_IN_PROGRESS after 7 s; {waits}"
    assert "No compute node has room" in outcomes["crowded"][1]
    assert NO_HOST in outcomes["crowded"][1]
    assert "A quota of the project is used up" in outcomes["poor"][1]
    assert "does not bear this cohort's tag" in outcomes["foreign"][1]
    assert sorted(heat.asked()) == [
        "DELETE demo-26j-broken",
        "POST demo-26J-broken",
        "POST demo-26J-crowded",
        "POST demo-26J-foreign",
        "POST demo-26J-new",
        "POST demo-26J-poor",
        "POST demo-26J-slow",
    ]
    handouts = read_handouts(tmp_path)
    assert handouts["kept"].password == password
    assert len({handout.password for handout in handouts.values()}) == 7


def test_a_second_run_changes_nothing_and_a_lost_handout_is_said(
    cloud: Connection, http: rm.Mocker, tmp_path: Path
) -> None:
    cloud_has(http)
    heat = Heat(http)
    heat.add("lost", COMPLETE)
    outcomes = run(cloud, tmp_path, "lost")
    assert outcomes == {"lost": ("handout", f"the machine exists, but its password is not in {tmp_path}/handout.csv")}
    assert heat.asked() == []
    assert read_handouts(tmp_path) == {}


def test_healing_asks_for_no_more_quota_than_there_was(cloud: Connection, http: rm.Mocker) -> None:
    cloud_has(http, routers=9)  # all in use
    heat = Heat(http)
    heat.add("broken", "CREATE_FAILED")
    planned = plan(cloud, order("broken"))
    assert [type(action).__name__ for action in planned.actions] == ["Replace"]
    with pytest.raises(PreflightError, match="routers: 1 needed, 0 free"):
        plan(cloud, order("broken", "new"))


def test_the_younger_of_two_stacks_is_removed(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    cloud_has(http)
    heat = Heat(http)
    heat.add("twice", COMPLETE)
    heat.add("twice", GOING)
    run(cloud, tmp_path, "twice")
    assert [
        call.path.rpartition("/")[2]
        for call in http.request_history
        if call.method == "DELETE" and "/stacks/" in call.url
    ] == ["id2"]


def test_status_says_who_has_what(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    heat = Heat(http, fate={"going": GOING})
    with pytest.raises(NotFoundError, match="no machines"):
        status(cloud, order("going"), folder=tmp_path, deadline=0.1)
    heat.add("going", GOING)
    heat.add("broken", "CREATE_FAILED")
    standings = status(cloud, order("going", "broken", "missing"), folder=tmp_path, deadline=0.1)
    assert [(each.student, type(each.action).__name__, getattr(each.outcome, "stage", None)) for each in standings] == [
        ("going", "Wait", None),
        ("broken", "Replace", "server"),
        ("missing", "Create", None),
    ]
    assert heat.asked() == []


def test_a_machine_with_tls_is_found_there_whoever_asks(cloud: Connection, http: rm.Mocker, tmp_path: Path) -> None:
    cloud_has(http)
    Heat(http)
    ada = Student("ada", "Ada", "ada@x.org")
    password = ensure_handouts(tmp_path, [ada], "student", "http")["ada"].password  # of a machine that is no more
    course = COURSE.model_copy(update={"public": COURSE.public.model_copy(update={"tls": "own"})})
    wanted = replace(order("ada"), course=course)
    (launched,) = launch(cloud, wanted, folder=tmp_path, deadline=5, progress=Silent())
    (standing,) = status(cloud, wanted, folder=tmp_path, deadline=0.1)
    for outcome in (launched, standing.outcome):
        assert isinstance(outcome, Failed)
        assert "connecting to 127.0.0.1 port 443: " in outcome.reason
    access = find_machine(cloud, "demo-26J", "ada", tmp_path, Labels())
    assert (access.url, access.password) == ("https://127.0.0.1/", password)


def nothing_left(http: rm.Mocker, *, routers: int = 0) -> None:
    http.get(f"{NOVA}/servers/detail", json={"servers": []})
    for kind in ("ports", "networks", "subnets", "security-groups", "floatingips"):
        http.get(f"{NEUTRON}/v2.0/{kind}", json={kind.replace("-", "_"): []})
    http.get(
        f"{NEUTRON}/v2.0/routers", json={"routers": [{"id": f"r{number}", "name": "r"} for number in range(routers)]}
    )
    lock_is_free(http)


def test_deleting_waits_and_looks_for_what_is_left(cloud: Connection, http: rm.Mocker) -> None:
    heat = Heat(http)
    nothing_left(http)
    heat.add("a", COMPLETE)
    heat.add("b", "CREATE_FAILED")
    assert len(find_cohort(cloud, "demo-26J")) == 2
    assert delete(cloud, "demo-26J", deadline=30, progress=Silent()) == 2
    assert sorted(heat.asked()) == ["DELETE demo-26j-a", "DELETE demo-26j-b"]
    with pytest.raises(NotFoundError):
        find_cohort(cloud, "demo-26J")


def test_what_is_left_is_an_error(cloud: Connection, http: rm.Mocker) -> None:
    Heat(http)
    nothing_left(http, routers=1)
    with pytest.raises(Exception, match=r"(?s)gone, but these are left:\n  router r"):
        delete(cloud, "demo-26J", deadline=30, progress=Silent())


def test_a_stack_that_stays_is_named(cloud: Connection, http: rm.Mocker) -> None:
    nothing_left(http)
    heat = Heat(http, fate={"delete": COMPLETE})
    heat.add("a", COMPLETE)
    with pytest.raises(StudentsFailedError, match="demo-26J-a: still CREATE_COMPLETE"):
        delete(cloud, "demo-26J", deadline=0.1, progress=Silent())
