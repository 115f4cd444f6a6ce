"""A project for each student: made once, each machine in its own, seen by every verb, and gone at the end."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from provision.core.outcome import Outcome
from provision.core.tenancy import Tenancy
from provision.errors import CloudError, NotFoundError
from provision.progress import Silent
from provision.workflows.cohort import status
from provision.workflows.handouts import read_handouts
from provision.workflows.orders import Order
from provision.workflows.projects import ACCOUNTS, delete_projects, launch_projects, missing_projects
from provision.workflows.tenancy import across

from . import world
from .faults import NEW_STACK, Build, Fate, Setup
from .server import Simulator
from .staff import Operator, failed, ready, serving
from .state import PROJECT

STUDENTS = 2
OPERATOR = Setup(admin=True)
POSTS = "^(POST|PUT|PATCH|DELETE) /(heat|identity/v3/(projects|users))"


def order(users: str = "none", students: int = STUDENTS) -> Order:
    return replace(world.order(students), tenancy=Tenancy(users, ("member", "reader")))  # type: ignore[arg-type]  # one


def launch(operator: Operator, wanted: Order) -> tuple[Outcome, ...]:
    return launch_projects(
        operator.connect(),
        wanted,
        folder=operator.folder,
        deadline=operator.deadline,
        progress=Silent(),
        clock=operator.clock,
        stages=(serving(operator.url, operator.clock, operator.deadline),),
    )


def delete(operator: Operator, wanted: Order) -> int:
    images = [world.IMAGE_ID]
    return delete_projects(operator.connect(), wanted, images, deadline=300, progress=Silent(), clock=operator.clock)


@pytest.fixture
def cloud(simulator: Simulator) -> Simulator:
    simulator.meet(OPERATOR)
    return simulator


def test_each_has_a_machine_in_a_project_of_his_own_and_a_second_run_changes_nothing(
    cloud: Simulator, operator: Operator
) -> None:
    assert len(ready(launch(operator, order()))) == STUDENTS
    held = cloud.cloud
    assert sorted(each["name"] for each in held.projects.values()) == [f"demo-26J-s000{n}" for n in range(STUDENTS)]
    assert {stack.project: stack.name for stack in held.stacks.values()} == {
        each["id"]: each["name"] for each in held.projects.values()
    }
    assert not +held.used, "the operator's own project holds nothing"
    assert all(status == "accepted" for status in held.members.values())
    assert {limits["instances"] for limits in held.limits.values()} == {1}
    before = ({*held.stacks}, {*held.projects}, read_handouts(operator.folder))
    assert all(handout.url for handout in before[2].values())
    cloud.calls.clear()
    assert len(ready(launch(operator, order()))) == STUDENTS
    assert ({*held.stacks}, {*held.projects}, read_handouts(operator.folder)) == before
    assert cloud.count(NEW_STACK) == 0
    assert all(finding.meaning == "its project is there." for finding in missing_projects(operator.connect(), order()))


def test_every_verb_sees_all_projects_and_the_end_leaves_nothing(cloud: Simulator, operator: Operator) -> None:
    launch(operator, order("create"))
    seen = across(
        operator.connect(),
        order("create"),
        lambda inside, part, _: status(inside, part, folder=operator.folder, deadline=0.1),
        lambda why: pytest.fail(why.reason),
        words="Looking",
        progress=Silent(),
    )
    assert [(each.student, type(each.action).__name__) for each in seen] == [
        (f"s000{n}", "Keep") for n in range(STUDENTS)
    ]
    assert delete(operator, order("create")) == STUDENTS
    held = cloud.cloud
    assert (held.stacks, held.projects, held.users, held.members, held.limits) == ({}, {}, {}, {}, {})
    assert [each for kind in held.things.values() for each in kind.values() if each["project_id"] != "c" * 32] == []
    with pytest.raises(NotFoundError, match="has no projects"):
        across(operator.connect(), order(), lambda *_: (), lambda why: why, words="", progress=Silent())


def test_accounts_are_made_once_with_passwords_that_are_written_down_first(
    cloud: Simulator, operator: Operator
) -> None:
    cloud.cloud.users["u1"] = {"id": "u1", "name": "s0000", "domain_id": "default", "description": "somebody's"}
    launch(operator, order("create"))
    accounts = operator.folder / ACCOUNTS
    text = accounts.read_text()
    assert (accounts.stat().st_mode & 0o777, text.splitlines()[0]) == (0o600, "user,password")
    launch(operator, order("create"))
    assert accounts.read_text() == text
    names = {each["id"]: each["name"] for each in cloud.cloud.users.values()}
    assert sorted(names.values()) == ["s0000", "s0001"]
    given = {
        (cloud.cloud.projects[project]["name"], names.get(user), role) for project, user, role in cloud.cloud.grants
    }
    for student in names.values():
        assert {(f"demo-26J-{student}", student, role) for role in ("r1", "r4")} <= given
        assert (f"demo-26J-{student}", None, "r3") not in given, "the operator is no admin there"
    delete(operator, order("create"))
    assert [each["name"] for each in cloud.cloud.users.values()] == ["s0000"], "who was there before stays"


def a_stranger(cloud: Simulator) -> None:
    cloud.cloud.projects["p9"] = {"id": "p9", "name": "demo-26J-s0001", "domain_id": "default", "tags": []}


@pytest.mark.parametrize(
    ("users", "trouble", "said"),
    [
        ("existing", lambda cloud: cloud.cloud.users.pop("u1"), "s0001 is no user of the cloud"),
        ("none", a_stranger, "does not bear this cohort's tags"),
        ("none", lambda cloud: cloud.meet(replace(OPERATOR, fates=(Fate("s0001"),))), "No compute node has room"),
    ],
)
def test_one_who_cannot_have_a_project_keeps_nobody_from_his(
    cloud: Simulator, operator: Operator, users: str, trouble: Callable[[Simulator], object], said: str
) -> None:
    for number in range(STUDENTS):
        about = {"id": f"u{number}", "name": f"s000{number}", "domain_id": "default"}
        cloud.cloud.users[f"u{number}"] = about
    trouble(cloud)
    outcomes = launch(operator, order(users))
    assert ready(outcomes) == ["s0000"]
    assert said in failed(outcomes)["s0001"].reason
    assert failed(outcomes)["s0001"].hint


def test_what_a_student_made_himself_is_not_deleted(cloud: Simulator, operator: Operator) -> None:
    launch(operator, order())
    project = next(each["id"] for each in cloud.cloud.projects.values() if each["name"] == "demo-26J-s0001")
    own = cloud.cloud.add("networks", {"name": "mine", "project_id": project})
    with pytest.raises(CloudError, match=r"(?s)1 projects of demo-26J are left:.*s0001: it holds.*network mine"):
        delete(operator, order())
    assert [*cloud.cloud.projects] == [project]
    assert own in cloud.cloud.things["networks"]
    cloud.cloud.remove("networks", own)
    assert delete(operator, order()) == 0
    assert cloud.cloud.projects == {}


def test_who_is_no_operator_is_told_so_before_anything(simulator: Simulator, operator: Operator) -> None:
    with pytest.raises(CloudError, match="not authorized"):
        launch(operator, order())
    assert (simulator.cloud.stacks, simulator.cloud.projects) == ({}, {})


def test_a_project_takes_one_machine_and_no_more(cloud: Simulator, operator: Operator, tmp_path: Path) -> None:
    cloud.meet(replace(OPERATOR, build=Build(1, 1, 1)))
    launch(operator, order(students=1))
    (limits,) = cloud.cloud.limits.values()
    (project,) = cloud.cloud.projects
    used = cloud.cloud.theirs[project]
    assert {name: limits[name] - used[name] for name in limits} == {
        **dict.fromkeys(limits, 0), "networks": 1, "subnets": 1, "ports": 1,
    }  # fmt: skip
    assert PROJECT not in cloud.cloud.limits
