"""cohort.toml: every mistake at once, and what is left out has the value that the reference says."""

from datetime import date

import pytest

from provision.core.cohort import Cohort
from provision.core.cohort_file import parse_cohort
from provision.core.toml_draft import draft_file
from provision.errors import InvalidInputError

FULL = """\
[cohort]
course = "tm351"
presentation = "26J"
roster = "../registry/export.csv"
start = 2026-10-03
end = 2027-06-30
privacy = true
[cloud]
name = "campus"
tenancy = "one project"
[machine]
flavor = "m1.small"
image = "tm351-26J:3"
[network]
external_network = "public"
shape = "shared"
floating_ip = false
[access]
web = "192.0.2.0/24"
ssh = "198.51.100.7/32"
[pool]
size = 20
timetable = ["mon,wed 09:00-11:00 40"]
idle = 90
[columns]
id = "Student PI"
name = "First name + Family name"
[handouts]
template = "html"
"""


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(InvalidInputError) as caught:
        parse_cohort(text, "cohort.toml")
    return caught.value.problems


def test_all_that_can_be_said() -> None:
    said = parse_cohort("\ufeff" + FULL.replace("\n", "\r\n"), "cohort.toml")
    assert (said.cohort.course, said.cohort.presentation, said.cohort.privacy) == ("tm351", "26J", True)
    assert (said.cohort.start, said.cohort.end) == (date(2026, 10, 3), date(2027, 6, 30))
    assert (said.cloud.name, said.machine.flavor, said.machine.image) == ("campus", "m1.small", "tm351-26J:3")
    assert (said.network.external_network, said.network.shape, said.network.floating_ip) == ("public", "shared", False)
    assert (said.access.web, said.access.ssh, said.pool.size) == ("192.0.2.0/24", "198.51.100.7/32", 20)
    assert (said.pool.timetable, said.pool.ahead, said.pool.idle) == (("mon,wed 09:00-11:00 40",), 30, 90)
    assert (said.handouts.template, said.handouts.help) == ("html", "ask who gave you this letter.")
    assert said.columns is not None
    assert (said.columns.id, said.columns.email) == ("Student PI", "email")


def test_what_is_left_out() -> None:
    said = parse_cohort('[cohort]\ncourse = "../tm351/course.toml"\npresentation = "26J"', "cohort.toml")
    assert (said.cohort.roster, said.cohort.privacy, said.cohort.end) == ("roster.csv", False, None)
    assert (said.network.shape, said.network.floating_ip) == ("private", True)
    assert (said.access.web, said.access.ssh, said.pool.size, said.columns) == ("0.0.0.0/0", None, 0, None)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('course = "tm351"', 'course = "TM351"', "line 2: cohort.course: must be a course's name"),
        ('course = "tm351"', "", "line 1: cohort.course: is missing (The course's name, or the path"),
        ('"26J"', '"26-J"', "line 3: cohort.presentation: must be 1 to 16 letters and digits"),
        ("start = 2026-10-03", 'start = "2026-10-03"', "line 5: cohort.start: should be a date, without quotes"),
        ("start = 2026-10-03", "start = 2026-10-03T09:00:00", "line 5: cohort.start: should be a date, without quotes ("
         "such as 2026-10-03), not 2026-10-03 09:00:00"),
        ("2027-06-30", "2026-10-02", "line 6: cohort.end: 2026-10-02 is before the start, 2026-10-03"),
        ("privacy = true", 'privacy = "yes"', "line 7: cohort.privacy: should be true or false, without quotes"),
        ('"one project"', '"project per student"', 'line 16: network.shape: "shared" is for one project'),
        ('"one project"', '"project per student"', "line 7: cohort.privacy: students who are users of the cloud are"),
        ('"one project"', '"many"', "line 10: cloud.tenancy: should be 'one project' or 'project per student', not"),
        ('"shared"', '"tree"', "line 16: network.shape: should be 'private' or 'shared', not 'tree'"),
        ("floating_ip = false", "floating_ip = 0", "line 17: network.floating_ip: should be true or false"),
        ("192.0.2.0/24", "192.0.2.1/24", "line 19: access.web: '192.0.2.1/24' is an address inside of a"),
        ("192.0.2.0/24", "192.0.2.0/33", "line 19: access.web: must be an IPv4 network such as 192.0.2.0/24"),
        ("192.0.2.0/24", "2001:db8::/32", "line 19: access.web: must be an IPv4 network such as 192.0.2.0/24"),
        ("198.51.100.7/32", "198.51.100.7", "line 20: access.ssh: must be an IPv4 network such as 192.0.2.0/24 (a"),
        ("size = 20", "size = -1", "line 22: pool.size: should be greater than or equal to 0, not -1"),
        ('id = "Student PI"', 'ids = "PI"', "line 26: columns.ids: is not a key that cohort.toml knows"),
        ("[columns]", "[[columns]]", "line 25: columns: should be one table"),
        ("[pool]", "flavor = 1\n[pool]", "line 21: access.flavor: is not a key that cohort.toml knows; it is a"),
        ("[cohort]", "[cohrt]", "cohort: is missing: a table [cohort] with course and presentation"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_line_and_its_words(old: str, new: str, problem: str) -> None:
    found = problems(FULL.replace(old, new, 1))
    assert any(said.startswith(problem) for said in found), found


def test_all_mistakes_come_together() -> None:
    text = FULL.replace("tm351", "TM 351").replace("2027", "2025").replace("shared", "none").replace("20\n", '"20"\n')
    assert [words.partition(":")[0] for words in problems(text)] == ["line 2", "line 6", "line 16", "line 22"]


def test_a_draft_says_what_is_known_and_nothing_else() -> None:
    known = {"cohort": {"course": "tm351", "presentation": "26J"}, "cloud": {"name": "campus"}}
    text = draft_file(Cohort, known, "A cohort")
    assert parse_cohort(text, "draft") == Cohort.model_validate(known)
