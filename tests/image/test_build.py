"""`image build` as people run it: bad boxes, a lost network, kill -9 in the bake, a full disk; and that it goes on."""

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.paths import data_path
from provision.workflows.builds import IMAGE, write_manifest
from tests.disks.conftest import Machine, ext4, make_machine
from tests.image.conftest import make_disk
from tests.image.test_builds import MANIFEST

CLI = [sys.executable, "-c", "from provision.cli import main; main()", "image", "build"]
DEAD = "http://127.0.0.1:9"  # the port of discard, where nothing listens
SHELL = "#!/bin/sh\n"
SYSTEM = {
    "etc/os-release": "ID=debian\nVERSION_CODENAME=bookworm\n",
    "usr/bin/apt-get": SHELL,
    "usr/sbin/sshd": SHELL,
    "usr/bin/python3.11": SHELL,
}
PYTHON_FOUND = {"usr/bin/python3": "python3.11"}


@pytest.fixture
def course(tmp_path: Path) -> Path:
    toml = tmp_path / "course.toml"
    toml.write_text((data_path("images/demo") / "course.toml").read_text())
    return toml


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Where the course's builds are, with one that is finished already."""
    shelf = tmp_path / "cache/provision/builds/demo"
    (shelf / "old").mkdir(parents=True)
    (shelf / "old" / IMAGE).write_bytes(b"the last good one")
    write_manifest(shelf / "old", MANIFEST)
    return shelf


def environment(tmp_path: Path, proxy: str = DEAD) -> dict[str, str]:
    return {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "http_proxy": proxy, "https_proxy": proxy}


def build(course: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*CLI, str(course), "--no-verify", "--progress", "plain", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment(course.parent), timeout=300
    )


def disk_of(tmp_path: Path, files: dict[str, str], links: dict[str, str]) -> Path:
    folder = tmp_path / "files"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for name, there in links.items():
        (folder / name).symlink_to(there)
    return make_disk(tmp_path / "disk.raw", folder)


def without(name: str) -> dict[str, str]:
    return {path: text for path, text in SYSTEM.items() if path != name}


OLD_PYTHON = {**without("usr/bin/python3.11"), "usr/bin/python3.7": SHELL}
REFUSED: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "Python 3.7": (OLD_PYTHON, {"usr/bin/python3": "python3.7"}, "The newest Python is 3.7; Ansible needs 3.8"),
    "no Python": (without("usr/bin/python3.11"), {}, "There is no Python 3"),
    "no sshd": (without("usr/sbin/sshd"), PYTHON_FOUND, "The bake needs /usr/sbin/sshd"),
    "no apt": (without("usr/bin/apt-get"), PYTHON_FOUND, "The bake needs /usr/bin/apt-get"),
    "no system": ({"data": "x"}, {}, "holds no system that is known"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_box_that_cannot_be_baked_is_refused_before_the_bake(
    case: str, course: Path, shelf: Path, tmp_path: Path
) -> None:
    files, links, reason = REFUSED[case]
    done = build(course, "--box", disk_of(tmp_path, files, links))
    assert done.returncode == 2, done.stderr
    assert reason in done.stderr
    assert "provision image inspect" in done.stderr
    assert sorted(path.name for path in (shelf / ".work").iterdir()) == ["build.log"]
    assert (shelf / "old" / IMAGE).read_bytes() == b"the last good one"


def test_a_plan_changes_nothing(course: Path, tmp_path: Path) -> None:
    done = build(course, "--box", disk_of(tmp_path, SYSTEM, PYTHON_FOUND), "--dry-run", "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "step,runs,why",
        "convert,yes,its result is not there",
        "bake,yes,it follows convert",
        "shrink,yes,it follows bake",
        "verify,yes,it follows shrink",
    ]
    assert not (tmp_path / "cache").exists()


def test_a_plan_reads_what_an_earlier_run_left(course: Path, tmp_path: Path) -> None:
    box = make_machine(tmp_path / "box.raw", Machine("label: dos\nsize=100MiB, type=83", {1: ext4}))
    assert build(course, "--box", box).returncode == 2  # it holds no system
    done = build(course, "--box", box, "--dry-run", "--format", "csv")
    assert "convert,yes,its result is not there" in done.stdout


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A cache on a file system of 64 MiB."""
    place = tmp_path / "cache"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64M", "small", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.usefixtures("small")
def test_without_room_nothing_is_begun(course: Path, tmp_path: Path) -> None:
    box = tmp_path / "box.raw"
    box.write_bytes(b"x" * 510 + b"\x55\xaa" + hashlib.shake_128(b"noise").digest(30 * 2**20))
    done = build(course, "--box", box)
    assert done.returncode == 3, done.stderr
    assert "needs 90 MiB of room" in done.stderr
    assert "XDG_CACHE_HOME" in done.stderr


@pytest.mark.usefixtures("small")
def test_a_disk_that_gets_full_is_named_and_nothing_is_left(course: Path, tmp_path: Path) -> None:
    raw, box = tmp_path / "raw", tmp_path / "box.vmdk"
    raw.write_bytes(b"x" * 510 + b"\x55\xaa" + b"text " * (20 * 2**20))
    stream = ["-O", "vmdk", "-o", "subformat=streamOptimized"]
    subprocess.run(["qemu-img", "convert", "-f", "raw", *stream, raw, box], check=True)
    raw.unlink()
    done = build(course, "--box", box)
    assert done.returncode == 3, done.stderr
    assert "This computer's disk is full" in done.stderr
    assert [path.name for path in (tmp_path / "cache/provision/builds/demo/.work").iterdir()] == ["build.log"]


@pytest.fixture
def silent_proxy() -> Iterator[socket.socket]:
    """A proxy that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(120)
        yield listening


def test_killed_in_the_bake_it_goes_on_and_a_lost_network_is_named(
    course: Path, shelf: Path, tmp_path: Path, debian_disk: Path, silent_proxy: socket.socket
) -> None:
    before = hashlib.sha256(debian_disk.read_bytes()).digest()
    proxy = f"http://127.0.0.1:{silent_proxy.getsockname()[1]}"
    command = [*CLI, str(course), "--no-verify", "--box", str(debian_disk)]
    with subprocess.Popen(command, env=environment(tmp_path, proxy), stderr=subprocess.DEVNULL) as killed:
        silent_proxy.accept()  # apt asks, in the middle of the bake
        killed.send_signal(signal.SIGKILL)
    assert (shelf / ".work/bake.new").is_dir()
    assert str(shelf) in Path("/proc/self/mounts").read_text()

    started = time.monotonic()
    done = build(course, "--box", debian_disk)
    assert done.returncode == 1, done.stderr
    assert "Converting" not in done.stderr
    assert "Step bake: its result is not there." in done.stderr
    assert "could not be reached" in done.stderr
    assert "run the same command again" in done.stderr
    assert time.monotonic() - started < 100
    assert str(shelf) not in Path("/proc/self/mounts").read_text()
    assert [path.name for path in shelf.glob(".work/*-*")] == [next(shelf.glob(".work/convert-*")).name]
    assert (shelf / "old" / IMAGE).read_bytes() == b"the last good one"
    assert hashlib.sha256(debian_disk.read_bytes()).digest() == before

    log = (shelf / ".work/build.log").read_text()
    assert re.search(r"== Converting raw to raw: done in \d", log)
    assert re.search(r"== Baking in a container: failed after \d", log)
    assert "$ systemd-nspawn" in log
    assert "TASK [cloud_guest" in log
