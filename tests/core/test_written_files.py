"""What people write is found, read and refused with its place; what we write for them is private and whole."""

import stat
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from provision.core.course_file import parse_course
from provision.core.plan import Stack
from provision.core.roster import Student
from provision.errors import InvalidInputError, NotFoundError
from provision.guests.access import Access
from provision.progress import Silent
from provision.workflows.certificates import certificate_variables
from provision.workflows.courses import read_course
from provision.workflows.demo import demo_cohort
from provision.workflows.handouts import access_to, ensure_handouts, read_handouts, save_urls
from provision.workflows.image import build_image, plan_build
from provision.workflows.orders import read_cohort, read_order, read_roster

NOW = datetime.now(UTC)
COURSE = """\
[course]
name = "demo"
title = "Demo"
[box]
file = "demo.box"
[machine]
vcpus = 1
memory_mb = 1024
disk_gb = 5
[user]
name = "student"
group = "student"
[public]
tls = "none"
"""
ADA, BOB = Student("s1", "Ada, née Byron", "ada@x.org"), Student("s2", "Bob", "bob@x.org")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images" / "own").mkdir(parents=True)
    (tmp_path / "images" / "own" / "course.toml").write_text(COURSE)
    return tmp_path


@pytest.mark.parametrize("name", ["own", "images/own", "images/own/course.toml", "./images/own"])
def test_a_course_is_found_by_its_name_or_its_place(here: Path, name: str) -> None:
    assert read_course(name)[0].name == "demo"


@pytest.mark.parametrize(
    ("name", "words"), [("no", "no course 'no'.*Courses: .*own"), ("x/y", r"no file x/y/course\.toml")]
)
def test_a_course_that_is_nowhere(here: Path, name: str, words: str) -> None:
    with pytest.raises(NotFoundError, match=words):
        read_course(name)


def cohort(folder: Path, course: str, more: str = "") -> Path:
    """A folder with a cohort.toml, and a roster as a registry exports it."""
    folder.mkdir()
    (folder / "cohort.toml").write_text(f'[cohort]\ncourse = "{course}"\npresentation = "26J"\n{more}')
    (folder / "roster.csv").write_text("id;Full name;email\ns1;Ada;a@x.org\n")
    return folder


def test_a_cohort_is_named_also_without_the_courses_file(here: Path) -> None:
    file = read_cohort(str(cohort(here / "class", "tm999")))
    assert (file.cohort, file.folder) == ("tm999-26J", here / "class" / "handouts" / "tm999-26J")
    with pytest.raises(NotFoundError, match="no course 'tm999'"):
        read_order(file)


@pytest.mark.parametrize("name", ["class", "class/cohort.toml", "./class/"])
def test_a_cohorts_files_are_found_from_its_own(here: Path, name: str) -> None:
    cohort(here / "class", "../images/own/course.toml", '[columns]\nname = "full name"\n[network]\nshape = "shared"\n')
    file = read_cohort(name, here / "elsewhere")
    order = read_order(file)
    assert (order.course.name, order.cohort, order.presentation) == ("demo", "demo-26J", "26J")
    assert (order.students, order.shape.kind, file.folder) == ((Student("s1", "Ada", "a@x.org"),), "shared",
                                                                 here / "elsewhere")  # fmt: skip


def test_a_course_whose_file_is_about_another_is_refused(here: Path) -> None:
    """Launched as demo-26J, it would be asked after as own-26J."""
    file = read_cohort(str(cohort(here / "class", "own", '[columns]\nname = "full name"\n')))
    with pytest.raises(InvalidInputError, match=r"is about 'demo', and .* about 'own'") as caught:
        read_order(file)
    assert 'course = "demo"' in str(caught.value.hint)


def test_machines_that_nobody_could_reach_are_refused(here: Path) -> None:
    end = '[columns]\nname = "full name"\n[network]\nfloating_ip = false\n'
    with pytest.raises(InvalidInputError, match="takes a public address in any case"):
        read_order(read_cohort(str(cohort(here / "class", "../images/own/course.toml", end))))


@pytest.mark.parametrize("name", ["nowhere", "images"])
def test_a_cohort_that_is_nowhere(here: Path, name: str) -> None:
    with pytest.raises(NotFoundError, match=f"no cohort '{name}': no file"):
        read_cohort(name)


def test_the_demonstrations_cohort_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = demo_cohort()
    order = read_order(file)
    assert (order.cohort, [student.id for student in order.students]) == ("demo-26J", ["ada", "grace"])
    assert (file.said.cloud.name, order.shape.ssh_cidr, file.folder) == (
        "lab",
        "172.24.4.0/24",
        Path("demo-26J/handouts/demo-26J"),
    )
    (tmp_path / "demo-26J" / "roster.csv").write_text("id,name,email\ns1,Ada,a@x.org\n")
    assert [student.id for student in read_order(demo_cohort()).students] == ["s1"]


def test_the_mistakes_of_course_and_roster_come_together(here: Path) -> None:
    (here / "images" / "own" / "course.toml").write_text(COURSE.replace("vcpus = 1", "vcpus = 0"))
    file = read_cohort(str(cohort(here / "class", "own")))
    with pytest.raises(InvalidInputError) as caught:
        read_order(file)
    for words in ("line 7: machine.vcpus", "column 'name' is missing", "column 'Full name' is not known"):
        assert words in caught.value.message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("id,name,email\ns1,Ada,a@x.org\n".encode("utf-8-sig"), None),
        ("id,name,email\ns1,Ada,a@x.org\n".encode("utf-16"), None),
        ("id,name,email\ns1,Zoë,a@x.org\n".encode("cp1252"), "not UTF-8: line 2"),
        ("id,name,email\ns1,Ada,a@x.org\n".encode("utf-16")[:-1], "not UTF-16: line 2"),
    ],
)
def test_encodings(tmp_path: Path, data: bytes, words: str | None) -> None:
    (tmp_path / "roster.csv").write_bytes(data)
    if words is None:
        assert read_roster(tmp_path / "roster.csv") == (Student("s1", "Ada", "a@x.org"),)
    else:
        with pytest.raises(InvalidInputError, match=words) as caught:
            read_roster(tmp_path / "roster.csv")
        assert "CSV UTF-8" in str(caught.value.hint)


def test_a_roster_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"none\.csv cannot be read: No such file"):
        read_roster(tmp_path / "none.csv")


def pair(folder: Path, name: str, *more: str) -> None:
    """A new key and a certificate of it."""
    files = ["-keyout", str(folder / f"{name}-key.pem"), "-out", str(folder / f"{name}.pem")]
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=x"]
    subprocess.run([*make, "-days", "300", *(more or ("-nodes",)), *files], check=True, capture_output=True)


def with_certificate(certificate: str, key: str) -> str:
    lines = f'tls = "own"\ncertificate = "{certificate}"\ncertificate_key = "{key}"'
    return COURSE.replace('tls = "none"', lines)


def test_a_courses_certificate_is_read_from_beside_it(tmp_path: Path) -> None:
    pair(tmp_path, "own")
    told = certificate_variables(parse_course(with_certificate("own.pem", "own-key.pem"), "course.toml"), tmp_path, NOW)
    assert told == {
        "nginx_proxy_certificate": (tmp_path / "own.pem").read_text(),
        "nginx_proxy_certificate_key": (tmp_path / "own-key.pem").read_text(),
    }
    assert certificate_variables(parse_course(COURSE, "course.toml"), tmp_path, NOW) == {}


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        ("own.pem", "other-key.pem", "other-key.pem is not the key of .*own.pem"),
        ("own-key.pem", "own-key.pem", "own-key.pem is no certificate in PEM"),
        ("own.pem", "own.pem", "own.pem is no key in PEM without a password"),
        ("own.pem", "locked-key.pem", "locked-key.pem is no key in PEM without a password"),
        ("binary", "own-key.pem", "binary is not PEM"),
        ("none.pem", "own-key.pem", r"none\.pem cannot be read: No such file"),
    ],
)
def test_an_unsound_certificate_stops_a_build_before_it_begins(
    tmp_path: Path, certificate: str, key: str, words: str
) -> None:
    pair(tmp_path, "own")
    pair(tmp_path, "other")
    pair(tmp_path, "locked", "-passout", "pass:secret")
    (tmp_path / "binary").write_bytes(b"\x30\x82")
    (tmp_path / "demo.box").write_bytes(b"x")
    (tmp_path / "course.toml").write_text(with_certificate(certificate, key))
    for begin in (plan_build, build_image):
        with pytest.raises((InvalidInputError, NotFoundError), match=words):
            begin(str(tmp_path / "course.toml"), Silent())


def test_a_certificate_that_is_over_is_refused(tmp_path: Path) -> None:
    pair(tmp_path, "own")
    course = parse_course(with_certificate("own.pem", "own-key.pem"), "course.toml")
    with pytest.raises(InvalidInputError, match=r"own\.pem was good until"):
        certificate_variables(course, tmp_path, NOW + timedelta(days=400))


def test_handouts_are_private_kept_and_extended(tmp_path: Path) -> None:
    folder = tmp_path / "handouts" / "demo-26J"
    first = ensure_handouts(folder, [ADA], "student", "http")
    key = (folder / "keys" / "s1").read_text()
    assert (first["s1"].name, first["s1"].user, first["s1"].url) == ("Ada, née Byron", "student", "")
    both = ensure_handouts(folder, [ADA, BOB], "student", "http")
    assert both["s1"] == first["s1"]
    assert both["s2"].password != first["s1"].password
    assert (folder / "keys" / "s1").read_text() == key
    assert read_handouts(folder) == both
    modes = {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}
    assert modes == {
        "handout.csv": 0o600,
        ".gitignore": 0o600,
        ".handout.lock": 0o644,  # which is empty
        **dict.fromkeys(("caretaker", "caretaker.pub"), 0o600),
        "keys": 0o700,
        **{f"keys/{name}": 0o600 for name in ("s1", "s1.pub", "s2", "s2.pub")},
    }
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_urls_are_written_into_the_rows(tmp_path: Path) -> None:
    ensure_handouts(tmp_path, [ADA, BOB], "student", "http")
    save_urls(tmp_path, {"s2": "http://172.24.4.9/", "stranger": "http://172.24.4.8/"})
    assert {name: handout.url for name, handout in read_handouts(tmp_path).items()} == {
        "s1": "",
        "s2": "http://172.24.4.9/",
    }


def test_the_same_password_is_for_the_next_machine_and_its_address_is_not(tmp_path: Path) -> None:
    old = ensure_handouts(tmp_path, [ADA], "vagrant", "http")["s1"]
    save_urls(tmp_path, {"s1": "http://172.24.4.9/"})
    new = ensure_handouts(tmp_path, [ADA], "student", "https")["s1"]
    assert new == replace(old, user="student", scheme="https")


def test_a_file_that_is_no_handout_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "handout.csv").write_text("name,grade\nAda,1\n")
    with pytest.raises(InvalidInputError, match="not a handout file"):
        ensure_handouts(tmp_path, [ADA], "student", "http")
    assert (tmp_path / "handout.csv").read_text() == "name,grade\nAda,1\n"


def test_the_way_in_is_the_handouts(tmp_path: Path) -> None:
    handout = ensure_handouts(tmp_path, [ADA], "student", "http")["s1"]
    stack = Stack("id1", "demo-26J-s1", "s1", "CREATE_COMPLETE", "", "")
    access = access_to(handout, tmp_path, "172.24.4.9", stack)
    assert access == Access(
        "172.24.4.9", "student", handout.password, tmp_path / "keys" / "s1", "id1", tmp_path / "known_hosts"
    )
    assert handout.password not in repr(access) + repr(handout)
