"""Builds: what changes their identity, and which one is the newest."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from provision.core.course import Course
from provision.core.course_file import parse_course
from provision.core.steps import STEPS, inputs_of, key_of, plan_steps
from provision.core.variables import role_variables
from provision.errors import NotFoundError
from provision.paths import data_path
from provision.workflows.builds import (
    Manifest,
    box_key,
    build_folder,
    find_finished,
    finished_builds,
    made_steps,
    newest_build,
    sum_of_folder,
    write_manifest,
)
from provision.workflows.making import course_inputs

MANIFEST = Manifest(
    course="demo",
    build="a" * 12,
    created="2026-11-22T10:00:00+00:00",
    disk_format="qcow2",
    virtual_size=3 * 2**30,
    size=10,
    sha256="0" * 64,
    source_sha256="1" * 64,
    min_disk=3,
    min_ram=1024,
    os_distro="debian",
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def finished(manifest: Manifest) -> None:
    folder = build_folder(manifest.course, manifest.build)
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(folder, manifest)


def test_the_newest_is_found() -> None:
    finished(MANIFEST)
    finished(replace(MANIFEST, build="b" * 12, created="2026-11-22T11:00:00+00:00"))
    finished(replace(MANIFEST, build="c" * 12, course="other", created="2026-11-22T12:00:00+00:00"))
    assert newest_build("demo").manifest.build == "b" * 12
    found = find_finished("demo", "a" * 12)
    assert found is not None
    assert found.manifest == MANIFEST
    assert find_finished("demo", "d" * 12) is None


def test_without_a_build_the_answer_says_what_to_do() -> None:
    with pytest.raises(NotFoundError) as caught:
        newest_build("demo")
    assert caught.value.hint == "Make one: provision image build demo."


def read(text: str) -> Course:
    return parse_course(text, "course.toml")


TOML = (data_path("images/demo") / "course.toml").read_text()
INPUTS = course_inputs(read(TOML), role_variables(read(TOML)), "0", None)


@pytest.mark.parametrize(
    ("toml", "source", "bake_in", "steps"),
    [
        (TOML, "0", None, []),
        (TOML + "# a word\n", "0", None, []),
        (TOML.replace("Demonstration course", "Another title"), "0", None, []),
        (TOML, "1", None, ["convert", "bake", "shrink"]),
        (TOML, "0", "machine", ["bake", "shrink"]),
        (TOML.replace('name = "student"', 'name = "other"'), "0", None, ["bake", "shrink"]),
        (TOML.replace("packages = []", 'packages = ["pandas"]'), "0", None, ["bake", "shrink"]),
        (TOML.replace("disk_gb = 5", "disk_gb = 6"), "0", None, ["shrink"]),
        (TOML.replace("memory_mb = 1024", "memory_mb = 2048"), "0", None, ["shrink"]),
    ],
    ids=["nothing", "comment", "title", "box", "baked in", "user", "packages", "disk", "memory"],
)
def test_a_step_is_done_again_when_its_inputs_change(
    toml: str, source: str, bake_in: str | None, steps: list[str]
) -> None:
    now = course_inputs(read(toml), role_variables(read(toml)), source, bake_in)
    keys = [(step, key_of(inputs_of(step, INPUTS)), key_of(inputs_of(step, now))) for step in STEPS[:-1]]
    assert [step for step, before, after in keys if before != after] == steps


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (lambda folder: (folder / "tasks/main.yml").write_text("- x"), True),
        (lambda folder: (folder / "files/new").write_text(""), True),
        (lambda folder: (folder / "README.md").write_text("other words"), False),
        (lambda folder: (folder / "tasks/main.yml").touch(), False),
    ],
    ids=["task", "new file", "readme", "time"],
)
def test_a_role_is_known_by_its_files(change: Callable[[Path], object], differs: bool, tmp_path: Path) -> None:
    folder = tmp_path / "role"
    shutil.copytree(data_path("roles/jupyter"), folder)
    before = sum_of_folder(folder)
    change(folder)
    assert (sum_of_folder(folder) != before) is differs


def test_what_a_build_was_made_of_says_which_steps_are_done() -> None:
    made = replace(MANIFEST, inputs=INPUTS)
    finished(made)
    assert [each.step for each in made_steps(finished_builds("demo"))] == ["shrink"]
    finished(replace(made, verified={"passed": False}))
    assert [each.step for each in made_steps(finished_builds("demo"))] == ["shrink"]
    finished(replace(made, verified={"passed": True}))
    decisions = plan_steps(INPUTS, made_steps(finished_builds("demo")))
    assert not any(each.runs for each in decisions)


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (lambda folder: (folder / "notebooks/new.ipynb").write_text("{}"), True),
        (lambda folder: (folder / "build-box").write_text("#!/bin/sh\n"), True),
        (lambda folder: (folder / "notebooks/welcome.ipynb").rename(folder / "notebooks/other.ipynb"), True),
        (lambda folder: (folder.parent / "box-parts/virtualbox.sh").write_text("DISK_SIZE=1G\n"), True),
        (lambda folder: (folder.parent / "other").write_text("of another course"), False),
        (lambda folder: (folder / "README.md").write_text("other words"), False),
        (lambda folder: (folder / "course.toml").write_text("title"), False),
    ],
    ids=["notebook", "script", "name", "parts", "other", "readme", "course"],
)
def test_a_box_is_made_again_when_its_files_change(
    change: Callable[[Path], object], differs: bool, tmp_path: Path
) -> None:
    shutil.copytree(Path(__file__).resolve().parents[2] / "images", tmp_path / "images")
    folder = tmp_path / "images/demo"
    before = box_key(folder)
    change(folder)
    assert (box_key(folder) != before) is differs
