"""Builds: what changes their identity, and which one is the newest."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from provision.errors import NotFoundError
from provision.workflows.builds import (
    Manifest,
    box_key,
    build_folder,
    build_id,
    find_finished,
    newest_build,
    write_manifest,
)

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
    folder.mkdir(parents=True)
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


def test_a_build_is_named_by_its_inputs(tmp_path: Path) -> None:
    toml = tmp_path / "course.toml"
    toml.write_text("a")
    same, other_box = build_id("0", toml), build_id("1", toml)
    assert same == build_id("0", toml)
    toml.write_text("b")
    assert len({same, other_box, build_id("0", toml)}) == 3


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
