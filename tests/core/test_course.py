"""course.toml: what is read, and every mistake reported at once with its key and line."""

import pytest

from provision.core.course_file import parse_course
from provision.errors import InvalidInputError

GOOD = """\
[course]
name = "demo"
title = "A demonstration"

[box]
build = "build-box"

[machine]
vcpus = 1
memory_mb = 1024
disk_gb = 5

[user]
name = "student"
group = "student"

[public]
tls = "none"

[jupyter]
packages = ["pandas==2.2"]
"""


def test_a_good_course_is_read() -> None:
    course = parse_course(GOOD, "course.toml")
    assert (course.name, course.title) == ("demo", "A demonstration")
    assert (course.machine.vcpus, course.machine.memory_mb, course.machine.disk_gb) == (1, 1024, 5)
    assert (course.box.build, course.box.file, course.user.name) == ("build-box", None, "student")
    assert course.jupyter.packages == ("pandas==2.2",)


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm() -> None:
    assert parse_course("\ufeff" + GOOD.replace("\n", "\r\n"), "course.toml") == parse_course(GOOD, "course.toml")


def test_the_jupyter_table_may_be_left_out() -> None:
    assert parse_course(GOOD.partition("[jupyter]")[0], "course.toml").jupyter.packages == ()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('name = "demo"', 'name = "TM-351"', "line 2: course.name: must be 1 to 32 small letters"),
        ('title = "A demonstration"\n', "", "line 1: course.title: is missing"),
        ('build = "build-box"', 'build = "x"\nfile = "y"', "line 5: box: needs exactly one of build and file"),
        ('build = "build-box"', "", "line 5: box: needs exactly one of build and file"),
        ('build = "build-box"', 'build = "../evil"', "line 6: box.build: must be a path beside course.toml"),
        ('build = "build-box"', 'file = "/etc/shadow"', "line 6: box.file: must be a path beside course.toml"),
        ("vcpus = 1", "vcpus = 0", "line 9: machine.vcpus: should be greater than or equal to 1, not 0"),
        (
            "vcpus = 1",
            'vcpus = "1"',
            "line 9: machine.vcpus: should be a whole number, without quotes or a point, not '1'",
        ),
        ("memory_mb = 1024", "memory_gb = 1", "line 10: machine.memory_gb: is not a key that course.toml knows"),
        ('name = "student"', 'name = "root"', "line 14: user.name: must be an ordinary user, not root"),
        ('group = "student"', 'group = "The Students"', "line 15: user.group: must be a Linux login name"),
        ('["pandas==2.2"]', '"pandas"', "line 21: jupyter.packages: should be a list ([...]), not 'pandas'"),
        ('["pandas==2.2"]', "[1]", 'line 21: jupyter.packages[1]: should be text in quotes ("..."), not 1'),
        ("[jupyter]", "[jupiter]", "line 20: jupiter: is not a key that course.toml knows"),
        ("[user]", "[user", "line 13: Expected ']' at the end of a table declaration"),
    ],
)
def test_a_mistake_is_named_with_its_place(old: str, new: str, problem: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_course(GOOD.replace(old, new, 1), "course.toml")
    assert any(found.startswith(problem) for found in caught.value.problems), caught.value.problems


def test_every_mistake_is_reported_at_once() -> None:
    text = GOOD.replace('"demo"', '"Demo"').replace("vcpus = 1", "vcpus = 0").replace("disk_gb", "disk")
    with pytest.raises(InvalidInputError, match=r"images/demo/course\.toml has 4 problems") as caught:
        parse_course(text, "images/demo/course.toml")
    assert [problem.split(": ")[1] for problem in caught.value.problems] == [
        "course.name",
        "machine.disk_gb",
        "machine.vcpus",
        "machine.disk",
    ]
