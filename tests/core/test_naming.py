"""Names and tags: what the cloud takes, and told apart whatever the student's id."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.core import naming
from provision.errors import InvalidInputError

courses = st.from_regex(r"[a-z][a-z0-9]{0,31}", fullmatch=True)
presentations = st.from_regex(r"[A-Za-z0-9]{1,16}", fullmatch=True)
students = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,47}", fullmatch=True)
machines = st.tuples(courses, presentations, students)


@pytest.mark.parametrize(
    ("student", "server"),
    [
        ("s001", "tm351-26J-s001"),
        ("ab-12", "tm351-26J-ab-12"),
        ("a.b", "tm351-26J-a-b-f5a331ae"),
        ("a_b", "tm351-26J-a-b-6dc5a362"),
        ("x" * 48, "tm351-26J-" + "x" * 34 + "-a11ccd51"),
    ],
)
def test_server_names(student: str, server: str) -> None:
    assert re.sub(r"-[0-9a-f]{8}$", "", naming.server_name("tm351-26J", student)) == re.sub(
        r"-[0-9a-f]{8}$", "", server
    )


def test_the_other_names() -> None:
    assert naming.cohort_name("tm351", "26J") == naming.image_name("tm351", "26J") == "tm351-26J"
    assert naming.stack_name("tm351-26J", "s001") == "tm351-26J-s001"
    assert naming.cohort_tag("tm351-26J") == "provision=tm351-26J"
    assert naming.canary_cohort("tm351-26J") == "canary.tm351-26J"


@pytest.mark.parametrize(("course", "presentation"), [("TM351", "26J"), ("tm-351", "26J"), ("tm351", "26-J"), ("", "")])
def test_names_that_could_not_come_apart_are_refused(course: str, presentation: str) -> None:
    with pytest.raises(InvalidInputError):
        naming.cohort_name(course, presentation)


@given(machines)
def test_the_cloud_takes_every_name(machine: tuple[str, str, str]) -> None:
    course, presentation, student = machine
    cohort = naming.cohort_name(course, presentation)
    assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.-]{0,254}", naming.stack_name(cohort, student))
    assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,51}[A-Za-z0-9])?", naming.server_name(cohort, student))
    canary = naming.canary_cohort(cohort)  # with a dot, and so no cohort of a course
    tags = ((naming.cohort_tag(cohort), 60), (naming.cohort_tag(canary), 60), (naming.student_tag(student), 80))
    for tag, longest in tags:
        assert len(tag) <= longest
        assert "," not in tag


@given(machines, machines)
def test_two_machines_never_share_a_name(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    names = [
        (naming.stack_name(cohort, machine[2]), naming.server_name(cohort, machine[2]), naming.cohort_tag(cohort))
        for machine in (one, other)
        for cohort in [naming.cohort_name(machine[0], machine[1])]
    ]
    assert (names[0][:2] == names[1][:2]) == (one == other)
    assert (names[0][2] == names[1][2]) == (one[:2] == other[:2])


@given(courses, presentations, students, st.integers(1, 999))
def test_what_is_shared_is_named_so_that_it_is_no_students(
    course: str, presentation: str, student: str, n: int
) -> None:
    cohort = naming.cohort_name(course, presentation)
    name = naming.shared_name(cohort, n)
    assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.-]{0,254}", name)
    assert naming.shared_number(name) == n
    assert naming.shared_number(naming.shared_name(naming.canary_cohort(cohort), n)) == n
    assert naming.shared_number(naming.stack_name(cohort, student)) is None
    assert not naming.STUDENT_ID.fullmatch(naming.shared_label(n))
    assert naming.labelled_number(naming.shared_label(n)) == n
    gateway = naming.gateway_name(cohort, n)
    assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,51}[A-Za-z0-9])?", gateway)
    assert gateway not in (naming.gateway_name(cohort, n + 1), naming.server_name(cohort, student))


@given(students, st.lists(st.text().filter(lambda tag: not tag.startswith("student="))))
def test_a_stack_tells_whose_it_is(student: str, others: list[str]) -> None:
    assert naming.student_of([*others, naming.student_tag(student)]) == student
    assert naming.student_of(others) is None
    assert naming.student_of([naming.student_tag(student), naming.student_tag("other" + student)]) is None


def test_a_stack_tells_which_network_it_uses() -> None:
    assert naming.place_of(["provision=demo-26J", "student=place=x", naming.place_tag("3f1c")]) == "3f1c"
    assert naming.place_of(["provision=demo-26J", "student=a", naming.SHARED_TAG]) == ""
    assert len(naming.place_tag("0" * 36)) <= 80


@pytest.mark.parametrize(
    ("port", "stack"),
    [
        ("demo-26J-a1-port-abcdefghijk2", "demo-26J-a1"),
        ("demo-26J-a1-port-port-abcdefghijk2", "demo-26J-a1-port"),  # of the student a1-port
        ("demo-26J-a1-gateway_port-abcdefghijk2", ""),
        ("demo-26J-a1-port", ""),
        ("by hand", ""),
    ],
)
def test_whose_port_heat_made(port: str, stack: str) -> None:
    assert naming.stack_of_port(port) == stack
