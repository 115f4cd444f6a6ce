"""A target has its name only when it is complete, whatever happens while it is written."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from provision.errors import InvalidInputError
from provision.progress import Silent
from provision.workflows.convert import Wish, convert_image, sum_of
from tests.disks.conftest import MIB, Machine, ext4, make_machine, sh

SHRINKABLE = Machine("label: gpt\ntype=L", {1: ext4})
PROVISION = Path(sys.executable).with_name("provision")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A raw disk of noise that takes a second to pack."""
    (tmp_path / "source").write_bytes(os.urandom(MIB) * 64)
    with (tmp_path / "source").open("r+b") as stream:
        stream.write(bytes(510) + b"\x55\xaa")
    return tmp_path / "source"


def busy(folder: Path) -> Path:
    (folder / "elsewhere").write_bytes(b"kept")
    (folder / ".target.unfinished").symlink_to("elsewhere")
    return folder / "target"


def made(make: Callable[[Path], object]) -> Callable[[Path], Path]:
    def target(folder: Path) -> Path:
        make(folder / "target")
        return folder / "target"

    return target


TARGETS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a folder": (made(lambda path: path.mkdir()), "is a folder"),
    "in no folder": (lambda folder: folder / "nowhere" / "target", "There is no folder"),
    "below a file": (lambda folder: folder / "source" / "target", "There is no folder"),
    "the source": (lambda folder: folder / "source", "is the source itself"),
    "a link to the source": (made(lambda path: path.symlink_to("source")), "is the source itself"),
    "a pipe": (made(os.mkfifo), "no ordinary file"),
    "a device": (made(lambda path: os.mknod(path, 0o20666, os.makedev(1, 3))), "no ordinary file"),
    "a name too long": (lambda folder: folder / ("x" * 250), "cannot be written"),
    "a name far too long": (lambda folder: folder / ("x" * 300), "cannot be written"),
    "a link in its way": (busy, "cannot be written"),
}


@pytest.mark.parametrize("case", TARGETS)
def test_no_target(case: str, source: Path) -> None:
    make, says = TARGETS[case]
    target = make(source.parent)
    before = {path: path.lstat().st_mtime_ns for path in source.parent.iterdir()}
    with pytest.raises(InvalidInputError, match=says):
        convert_image(source, target, Wish(), Silent())
    assert {path: path.lstat().st_mtime_ns for path in source.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("name", "target"),
    [("flat.vmdk", "flat-flat.vmdk"), (".out.unfinished", "out"), (".out.unfinished.scratch/disk", "out")],
)
def test_a_source_is_never_written_to(name: str, target: str, source: Path, tmp_path: Path) -> None:
    """Neither by the name that it was given, nor as a descriptor's extent, nor as what a killed run left."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if name == "flat.vmdk":
        sh("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=monolithicFlat", source, path)
    else:
        source.rename(path)
    before = {each: each.stat().st_mtime_ns for each in tmp_path.rglob("*")}
    with pytest.raises(InvalidInputError, match="is the source itself"):
        convert_image(path, tmp_path / target, Wish(), Silent())
    assert {each: each.stat().st_mtime_ns for each in tmp_path.rglob("*")} == before


def test_the_sum_of_a_sparse_disk_is_made_without_reading_its_holes(tmp_path: Path) -> None:
    disk, noise = tmp_path / "disk", os.urandom(MIB)
    with disk.open("wb") as stream:
        stream.truncate(300 * MIB)
        stream.seek(200 * MIB)
        stream.write(noise)
    before = bytes_read()
    assert sum_of(disk, Silent()) == hashlib.sha256(bytes(200 * MIB) + noise + bytes(99 * MIB)).hexdigest()
    assert bytes_read() - before < 2 * MIB


def bytes_read() -> int:
    """By this process, from files, in or out of memory: see proc(5)."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 2 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.getuid():
        pytest.skip("mounting one needs root")
    sh("mount", "-t", "tmpfs", "-o", "size=2M", "tmpfs", folder)
    yield folder
    sh("umount", folder)


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_a_full_disk(form: str, source: Path, small: Path) -> None:
    words: list[str | Path] = [PROVISION, "image", "convert", source, small / "target", "--format", form]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "There is no room for" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(small.iterdir()) == []


def command(source: Path, target: Path) -> list[str | Path]:
    return ["env", "--default-signal=INT", PROVISION, "image", "convert", source, target, "--reencode", "zlib"]


@pytest.mark.parametrize(("end", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_ended_in_the_middle(end: signal.Signals, code: int, source: Path) -> None:
    """Nothing stands under the name, and the next run succeeds and leaves nothing else."""
    target, unfinished = source.with_name("target"), source.with_name(".target.unfinished")
    with subprocess.Popen(command(source, target), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        until = monotonic() + 60
        while monotonic() < until and not (unfinished.exists() and unfinished.stat().st_size):
            sleep(0.01)
        running.send_signal(end)
        running.communicate(timeout=60)
    assert running.returncode == code
    assert not target.exists()
    assert unfinished.exists() == (end is signal.SIGKILL)
    subprocess.run(command(source, target), check=True, timeout=120, capture_output=True)
    sh("qemu-img", "check", "-q", "-f", "qcow2", target)
    assert "identical" in sh("qemu-img", "compare", "-f", "raw", "-F", "qcow2", source, target)
    assert sorted(path.name for path in source.parent.iterdir()) == ["source", "target"]


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_a_killed_shrink_is_cleaned_up_by_the_next_run(form: str, tmp_path: Path) -> None:
    """Whatever the next run does; e2fsck is where the first one is killed."""
    disk, programs, said = make_machine(tmp_path / "disk", SHRINKABLE), tmp_path / "programs", tmp_path / "said"
    programs.mkdir()
    (programs / "e2fsck").write_text(f"#!/bin/sh\necho $$ >{said}\nexec sleep 60\n")
    (programs / "e2fsck").chmod(0o755)
    words: list[str | Path] = [PROVISION, "image", "shrink", disk, tmp_path / "target", "--format", form]
    with subprocess.Popen(words, env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}) as running:
        while not (said.exists() and said.read_text()):
            assert running.poll() is None
        running.kill()
    os.kill(int(said.read_text()), signal.SIGKILL)
    assert (tmp_path / ".target.unfinished.scratch").is_dir()
    subprocess.run([PROVISION, "image", "convert", disk, tmp_path / "target"], check=True, capture_output=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "programs", "said", "target"]
