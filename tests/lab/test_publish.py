"""Builds on the real Glance: published, compared, promoted, rolled back, pruned. Small disks, which never boot."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.cloud.builds import TAG
from provision.cloud.connection import connect
from provision.workflows.builds import Manifest, build_folder, write_manifest

COURSE, PRESENTATION = "demo", "LABPUBLISH"
PROVED = {"passed": True, "when": "2026-11-26T09:00:00+00:00", "seconds": 1.0, "proofs": {}}


def image(*words: str) -> str:
    program = [str(Path(sys.executable).with_name("provision")), "image", *words, "--os-cloud", "lab"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def made(number: int) -> str:
    """A finished build, with a disk and a version of nginx of its own; its id."""
    build = f"{number:012x}"
    folder = build_folder(COURSE, build)
    folder.mkdir(parents=True)
    raw, disk = folder / "disk.raw", folder / "image.qcow2"
    raw.write_bytes(hashlib.shake_128(build.encode()).digest(2**20))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, disk], check=True)
    raw.unlink()
    manifest = Manifest(
        course=COURSE,
        build=build,
        created=f"2026-11-26T0{number}:00:00+00:00",
        disk_format="qcow2",
        virtual_size=2**20,
        size=disk.stat().st_size,
        sha256=hashlib.sha256(disk.read_bytes()).hexdigest(),
        source_sha256="5" * 64,
        min_disk=1,
        min_ram=64,
        os_distro="debian",
        toolkit="0.1.0",
        verified=PROVED,
    )
    write_manifest(folder, manifest)
    (folder / "contents.json").write_text(json.dumps({"packages": {"nginx": str(number)}, "size": 100}))
    return build


def left() -> list[str]:
    listed = [each for hidden in (False, True) for each in connect("lab").image.images(tag=TAG, is_hidden=hidden)]
    return [each.id for each in listed if each.name.startswith(f"{COURSE}-{PRESENTATION}")]


@pytest.fixture
def cache(lab: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Builds of its own, and none of its images left behind."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    yield
    for each in left():
        connect("lab").image.delete_image(each)


def current() -> list[tuple[int, bool]]:
    rows = json.loads(image("list", COURSE, PRESENTATION, "--format", "json"))
    return [(row["number"], row["current"]) for row in rows]


@pytest.mark.usefixtures("cache")
def test_from_the_first_build_to_the_last() -> None:
    name = f"{COURSE}-{PRESENTATION}"
    for number in (1, 2, 3):
        made(number)
        image("publish", COURSE, PRESENTATION)
    assert current() == [(1, False), (2, False), (3, True)]
    for number in (1, 2):
        (build_folder(COURSE, f"{number:012x}") / "contents.json").unlink()  # so that the cloud is asked
    (change,) = json.loads(image("diff", f"{name}:1", f"{name}:2", "--format", "json"))
    assert (change["name"], change["before"], change["after"]) == ("nginx", "1", "2")
    image("rollback", COURSE, PRESENTATION)
    assert current() == [(1, False), (2, True), (3, False)]
    image("promote", f"{name}:3")
    image("prune", COURSE, PRESENTATION, "--keep", "0", "--yes")
    assert current() == [(2, False), (3, True)]
    assert len(left()) == 4
