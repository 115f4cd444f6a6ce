"""Checkpoints: whole or not there, whatever kills a build; and room made of old ones."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.core.steps import key_of
from provision.progress import Silent
from provision.workflows.checkpoints import (
    checkpoint,
    copy_disk,
    discard,
    keeping,
    kept_steps,
    make_room,
    work_folder,
    working,
)

MIB = 2**20
BOX, OTHER = {"box": "1"}, {"box": "2"}

# A build of two steps, which can be killed in either: it says where it is, and waits.
BUILD = """
import sys, time
from provision.progress import Silent
from provision.workflows.checkpoints import checkpoint, copy_disk, keeping, working
with working("demo", Silent()) as work:
    if not checkpoint(work, "convert", {"box": "1"}).exists():
        with keeping(work, "convert", {"box": "1"}) as folder:
            (folder / "disk.raw").write_bytes(b"converted")
            print("converting", flush=True)
            sys.stdin.readline()
    with keeping(work, "bake", {"box": "1", "role": "1"}) as folder:
        copy_disk(checkpoint(work, "convert", {"box": "1"}) / "disk.raw", folder / "disk.raw")
        with (folder / "disk.raw").open("r+b") as disk:
            disk.write(b"BAKED")
        print("baking", flush=True)
        sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def started() -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", BUILD]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def says(build: "subprocess.Popen[str]") -> str:
    assert build.stdout is not None
    return build.stdout.readline().strip()


def go_on(build: "subprocess.Popen[str]") -> None:
    assert build.stdin is not None
    build.stdin.write("\n")
    build.stdin.flush()


def names() -> list[str]:
    return sorted(each.step for each in kept_steps("demo"))


def test_killed_in_the_first_step_nothing_is_kept() -> None:
    with started() as build:
        assert says(build) == "converting"
        build.send_signal(signal.SIGKILL)
    assert names() == []
    with started() as build:  # what was half done is in nobody's way
        assert says(build) == "converting"
        build.send_signal(signal.SIGKILL)


def test_killed_in_the_second_the_first_is_kept_as_it_was() -> None:
    with started() as build:
        says(build)
        go_on(build)
        assert says(build) == "baking"
        build.send_signal(signal.SIGKILL)
    assert names() == ["convert"]
    assert (checkpoint(work_folder("demo"), "convert", BOX) / "disk.raw").read_bytes() == b"converted"
    with started() as build:
        assert says(build) == "baking"
        go_on(build)
    assert names() == ["bake", "convert"]
    baked = checkpoint(work_folder("demo"), "bake", {"box": "1", "role": "1"}) / "disk.raw"
    assert baked.read_bytes() == b"BAKEDrted"


def test_interrupted_it_leaves_nothing_half_done() -> None:
    with started() as build:
        says(build)
        build.send_signal(signal.SIGINT)
    assert list(work_folder("demo").iterdir()) == []


def test_what_was_done_of_other_inputs_is_not_taken() -> None:
    with working("demo", Silent()) as work:
        with keeping(work, "convert", BOX) as folder:
            (folder / "disk.raw").touch()
        assert checkpoint(work, "convert", BOX).is_dir()
        assert not checkpoint(work, "convert", OTHER).exists()
    (kept,) = kept_steps("demo")
    assert (kept.step, key_of(kept.inputs)) == ("convert", key_of(BOX))
    assert kept_steps("other") == ()


def test_a_copy_costs_what_is_in_it(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as stream:
        stream.write(b"head")
        stream.seek(5000 * MIB)
        stream.write(b"middle")
        stream.truncate(9000 * MIB)
    copy_disk(source, target)
    assert target.stat().st_size == source.stat().st_size
    assert target.stat().st_blocks <= source.stat().st_blocks
    with target.open("rb") as stream:
        assert stream.read(5) == b"head\0"
        stream.seek(5000 * MIB)
        assert stream.read(7) == b"middle\0"


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache on a file system of 64 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64M", "small", place], check=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    yield place
    subprocess.run(["umount", place], check=True)


def leave(course: str, step: str) -> Path:
    with working(course, Silent()) as work:
        with keeping(work, step, BOX) as folder:
            (folder / "disk.raw").write_bytes(os.urandom(10 * MIB))
        return checkpoint(work, step, BOX)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_room_is_made_of_the_oldest_first(small: Path) -> None:
    oldest, older, needed = leave("other", "convert"), leave("demo", "convert"), leave("demo", "bake")
    work = work_folder("demo")
    removed, free = make_room(work, 40 * MIB, needed)
    assert [each.exists() for each in (oldest, older, needed)] == [False, True, True]
    assert removed >= 10 * MIB
    assert free == shutil.disk_usage(small).free
    removed, free = make_room(work, 62 * MIB, needed)  # more than there is without it
    assert [each.exists() for each in (older, needed)] == [False, True]
    assert free < 62 * MIB


def test_a_finished_build_leaves_no_checkpoints() -> None:
    leave("demo", "convert")
    discard(work_folder("demo"))
    assert kept_steps("demo") == ()
