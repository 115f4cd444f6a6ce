"""A verification: which image is meant, what is refused, and what becomes of one that does not boot."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from provision.core.course_file import parse_course
from provision.errors import InvalidInputError, NotFoundError
from provision.guests.proofs import Expected
from provision.progress import Silent
from provision.workflows.builds import find_finished
from provision.workflows.proving import expected_of
from provision.workflows.verify import Target, find_target, verify
from tests.guests.sector import boot_disk
from tests.image.test_builds import MANIFEST, finished

COURSE = """[course]
name = "demo"
title = "Demo"
[box]
file = "demo.box"
[machine]
vcpus = 1
memory_mb = 256
disk_gb = 4
[user]
name = "student"
group = "student"
[public]
tls = "none"
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A disk that boots, but is no course's."""
    file = tmp_path / "disk.raw"
    file.write_bytes(boot_disk())
    return file


def test_a_build_is_meant_by_its_id_and_by_its_course() -> None:
    finished(MANIFEST)
    finished(replace(MANIFEST, build="b" * 12, created="2026-11-22T11:00:00+00:00"))
    assert find_target("demo", None).name == "demo-" + "b" * 12
    target = find_target("a" * 12, None)
    assert (target.name, target.form, target.course.name) == ("demo-" + "a" * 12, "qcow2", "demo")
    assert target.build == find_finished("demo", "a" * 12)


def test_a_file_is_meant_with_its_course(disk: Path) -> None:
    target = find_target(str(disk), "demo")
    assert (target.disk, target.form, target.build, target.course.name) == (disk, "raw", None, "demo")


def test_what_cannot_be_meant(disk: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="Which course"):
        find_target(str(disk), None)
    with pytest.raises(NotFoundError, match=r"no course 'c{12}'"):
        find_target("c" * 12, None)
    with pytest.raises(NotFoundError, match="no build of demo"):
        find_target("demo", None)
    box = tmp_path / "disk.vmdk"
    subprocess.run(["qemu-img", "convert", "-O", "vmdk", str(disk), str(box)], check=True)
    with pytest.raises(InvalidInputError, match="no image that could be published"):
        find_target(str(box), "demo")


def test_what_is_proved_comes_from_the_course() -> None:
    assert expected_of(parse_course(COURSE, "course.toml")) == Expected("student", ("notebooks",))


def test_an_image_that_does_not_boot_fails_and_that_is_written_down(disk: Path, tmp_path: Path) -> None:
    finished(MANIFEST)
    build = find_finished("demo", MANIFEST.build)
    assert build
    before = disk.read_bytes()
    target = Target(disk, "raw", parse_course(COURSE, "course.toml"), build)
    report = verify(target, Silent(), junit_file=tmp_path / "ci/j.xml", consoles=tmp_path / "consoles", patience=3)

    assert not report.passed
    verdicts = {(proof.group, proof.name): proof for proof in report.proofs}
    assert {key for key, proof in verdicts.items() if proof.tried} == {
        ("unclaimed", "network"),
        ("student", "network"),
    }
    assert all(proof.failure and proof.hint for proof in report.proofs)
    assert len(report.proofs) == 6 + 9 + 4

    manifest = json.loads((build.folder / "manifest.json").read_text())
    assert manifest["verified"]["passed"] is False
    assert set(manifest["verified"]["proofs"]) == {f"{proof.group}: {proof.name}" for proof in report.proofs}
    for place in (build.folder / "verify.xml", tmp_path / "ci/j.xml"):
        (suite,) = ElementTree.parse(place).getroot()  # noqa: S314 - our own
        assert len(suite) == len(report.proofs)
    assert "hello" in (tmp_path / "consoles/student.log").read_text()
    assert disk.read_bytes() == before
    assert not list(build.folder.parents[2].glob(".verify-*"))


def test_the_command_says_what_is_wrong(tmp_path: Path, disk: Path) -> None:
    for words, code, said in (
        (["nowhere"], 5, "There is no course 'nowhere'"),
        (["demo"], 5, "provision image build demo"),
        ([str(disk)], 2, "--course"),
    ):
        command = [str(Path(sys.executable).with_name("provision")), "image", "verify", *words]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "NO_COLOR": "1"}
        )
        assert (done.returncode, done.stdout) == (code, "")
        assert said in done.stderr


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_its_machines_end_with_it(cache: Path, disk: Path, how: signal.Signals, code: int) -> None:
    command = [str(Path(sys.executable).with_name("provision")), "image", "verify", str(disk), "--course", "demo"]
    heeding = ["env", "--default-signal=INT", *command]  # what runs in the background ignores it
    run = subprocess.Popen(heeding, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(machines(cache)) == 2 or run.poll() is not None)
    run.send_signal(how)
    said = run.communicate(timeout=20)[1]
    assert run.returncode == code, said
    wait_until(lambda: not machines(cache))


def machines(cache: Path) -> list[Path]:
    """The processes that work below the cache."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            found += [place] if place.readlink().is_relative_to(cache) else []
    return found


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(300):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come true within 30 s")
