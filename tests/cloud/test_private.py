"""A private cohort: who its students are never leaves this computer, and no key but its own is taken for it."""

import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests_mock as rm
from openstack.connection import Connection

from provision.core.outcome import Failed, Outcome
from provision.core.roster import Student
from provision.errors import InvalidInputError, NotFoundError, PreflightError
from provision.progress import Silent
from provision.workflows.cohort import delete, find_cohort, launch, plan, status
from provision.workflows.handouts import ensure_handouts, read_handouts
from provision.workflows.labels import keep_key, key_file, labels_if_any, read_labels
from provision.workflows.machine import find_machine
from provision.workflows.orders import Order

from .conftest import NOVA
from .test_launch import COMPLETE, Heat, nothing_left
from .test_preflight import COURSE, cloud_has

STUDENTS = (
    Student("z9000001", "Wilhelmina Ockham", "wilhelmina@registry.example"),
    Student("z9000002", "Jocelyn Burnell", "jocelyn@registry.example"),
)


@pytest.fixture
def heat(http: rm.Mocker) -> Heat:
    cloud_has(http, routers=100)
    http.get(f"{NOVA}/limits", json={"limits": {"absolute": {}, "rate": []}})
    return Heat(http)


def order(folder: Path, *, private: bool = True, students: tuple[Student, ...] = STUDENTS) -> Order:
    labels = read_labels(private, folder, [student.id for student in students])
    return Order(COURSE, "demo-26J", "26J", students, labels=labels)


def run(cloud: Connection, folder: Path, *, deadline: float = 0.1, **how: Any) -> tuple[Outcome, ...]:
    return launch(cloud, order(folder, **how), folder=folder, deadline=deadline, progress=Silent())


@pytest.fixture
def launched(heat: Heat, tmp_path: Path) -> Heat:
    """A cloud on which an earlier launch made the machines."""
    labels = order(tmp_path).labels
    keep_key(labels, tmp_path)
    ensure_handouts(tmp_path, STUDENTS, "student", "http")
    for student in STUDENTS:
        heat.add(labels.label(student.id), COMPLETE)
    return heat


def sent(http: rm.Mocker) -> str:
    """All that went out: addresses, headers and bodies."""
    return "\n".join(f"{call.method} {call.url} {dict(call.headers)} {call.text}" for call in http.request_history)


def test_nothing_of_a_student_goes_to_the_cloud(cloud: Connection, http: rm.Mocker, heat: Heat, tmp_path: Path) -> None:
    outcomes = run(cloud, tmp_path, deadline=3.5)
    assert stat.S_IMODE(key_file(tmp_path).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("privacy*")] == ["privacy.key"]
    assert [(each.student, each.stage) for each in outcomes if isinstance(each, Failed)] == [
        ("z9000001", "network"),  # nothing listens there: it got as far as it can
        ("z9000002", "network"),
    ]
    assert list(read_handouts(tmp_path)) == ["z9000001", "z9000002"]
    status(cloud, order(tmp_path), folder=tmp_path, deadline=0.1)
    access = find_machine(cloud, "demo-26J", "z9000001", tmp_path, order(tmp_path).labels)
    assert access.password == read_handouts(tmp_path)["z9000001"].password
    words = sent(http).casefold()
    assert words.count("post http://cloud.example/heat/v1/project1/stacks ") == 2
    for student in STUDENTS:
        for word in (student.id, *student.name.split(), student.email.partition("@")[0], "registry"):
            assert word.casefold() not in words
    labels = order(tmp_path).labels
    assert {f"demo-26J-{labels.label(student.id)}" for student in STUDENTS} == {
        stack["stack_name"] for stack in heat.stacks.values()
    }


def test_a_second_run_knows_them_again(cloud: Connection, launched: Heat, tmp_path: Path) -> None:
    key = key_file(tmp_path).read_bytes()
    assert [each.student for each in run(cloud, tmp_path)] == ["z9000001", "z9000002"]
    assert (key_file(tmp_path).read_bytes(), launched.asked()) == (key, [])


def test_who_left_the_roster_is_still_told(cloud: Connection, launched: Heat, tmp_path: Path) -> None:
    made = plan(cloud, order(tmp_path, students=STUDENTS[:1]))
    assert [(type(each).__name__, each.student) for each in made.actions] == [("Keep", "z9000001"),
                                                                             ("Leave", "z9000002")]  # fmt: skip
    listed = find_cohort(cloud, "demo-26J")
    labels = labels_if_any(True, tmp_path)
    assert {labels.student(stack.student) for stack in listed} == {"z9000001", "z9000002"}


@pytest.mark.parametrize(
    ("lose", "words"),
    [
        (lambda folder: key_file(folder).unlink(), "which is not there"),
        (lambda folder: key_file(folder).write_text("00" * 32), "which holds another"),
    ],
)
def test_without_its_key_nothing_is_made(
    cloud: Connection, launched: Heat, tmp_path: Path, lose: Any, words: str
) -> None:
    lose(tmp_path)
    files = sorted(tmp_path.iterdir())
    for verb in (
        lambda: plan(cloud, order(tmp_path)),
        lambda: run(cloud, tmp_path),
        lambda: status(cloud, order(tmp_path), folder=tmp_path, deadline=0.1),
    ):
        with pytest.raises(PreflightError, match=f"2 of the 2 machines of demo-26J .*{words}.* second machine"):
            verb()
    with pytest.raises(NotFoundError, match="no machine") as caught:
        find_machine(cloud, "demo-26J", "z9000001", tmp_path, order(tmp_path).labels)
    assert str(key_file(tmp_path)) in str(caught.value.hint)
    assert (launched.asked(), sorted(tmp_path.iterdir())) == ([], files)


def test_a_cohort_whose_key_is_lost_can_be_deleted(
    cloud: Connection, http: rm.Mocker, launched: Heat, tmp_path: Path
) -> None:
    key_file(tmp_path).unlink()
    nothing_left(http)
    assert delete(cloud, "demo-26J", deadline=30, progress=Silent()) == 2


def test_a_damaged_key_is_said_and_never_replaced(tmp_path: Path) -> None:
    key_file(tmp_path).write_text("not a key\n")
    with pytest.raises(InvalidInputError, match=r"privacy\.key does not hold a private cohort's key"):
        read_labels(True, tmp_path)
    assert labels_if_any(True, tmp_path).key is None
    assert key_file(tmp_path).read_text() == "not a key\n"


def test_privacy_is_not_changed_under_machines(cloud: Connection, heat: Heat, tmp_path: Path) -> None:
    heat.add("z9000001", COMPLETE)
    with pytest.raises(PreflightError, match=r"1 of the 1 machines .*launched with privacy = false"):
        run(cloud, tmp_path)
    heat.stacks.clear()
    heat.add(order(tmp_path).labels.label("z9000001"), COMPLETE)
    with pytest.raises(PreflightError, match="launched with privacy = true"):
        run(cloud, tmp_path, private=False)
    assert heat.asked() == []
    assert not key_file(tmp_path).exists()


def test_of_two_launches_that_make_a_key_at_once_one_stops(tmp_path: Path) -> None:
    first, second = read_labels(True, tmp_path), read_labels(True, tmp_path)
    keep_key(first, tmp_path)
    with pytest.raises(PreflightError, match="Another launch has made"):
        keep_key(second, tmp_path)
    keep_key(replace(first, students=()), tmp_path)
    assert read_labels(True, tmp_path).key == first.key
