"""`image convert` and `image shrink` as people run them, and what a build says before it does anything."""

import hashlib
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from provision.errors import InvalidInputError, PreflightError
from provision.progress import Silent
from provision.workflows.image import BOX_PROGRAMS, Wish, build_image, check_programs
from tests.disks.conftest import DATA, Machine, data_of, ext4, make_machine, sh, swap

CLI = [sys.executable, "-c", "from provision.cli import main; main()", "image"]
MIB = 2**20


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A raw disk of 40 MiB: a partition table's mark, text, noise, and zeros between them."""
    path = tmp_path / "disk.raw"
    noise = hashlib.shake_128(b"noise").digest(3 * MIB)
    path.write_bytes(b"x" * 510 + b"\x55\xaa" + bytes(20 * MIB) + b"text " * MIB + noise + bytes(12 * MIB - 512))
    return path


@pytest.fixture
def box(disk: Path, tmp_path: Path) -> Path:
    """The disk as Vagrant has it: a tar with a streamOptimized VMDK."""
    vmdk = tmp_path / "box-disk001.vmdk"
    stream = ["-O", "vmdk", "-o", "subformat=streamOptimized"]
    subprocess.run(["qemu-img", "convert", "-f", "raw", *stream, str(disk), str(vmdk)], check=True)
    with tarfile.open(tmp_path / "course.box", "w") as archive:
        archive.add(vmdk, "./box-disk001.vmdk")
    vmdk.unlink()
    return tmp_path / "course.box"


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CLI, *map(str, words)], capture_output=True, text=True, check=False)


def same(disk: Path, target: Path, form: str) -> bool:
    compare = ["qemu-img", "compare", "-f", "raw", "-F", form, str(disk), str(target)]
    if form == "qcow2":
        subprocess.run(["qemu-img", "check", "-q", "-f", "qcow2", str(target)], check=True)
    return subprocess.run(compare, check=False, capture_output=True).returncode == 0


WAYS: dict[str, tuple[str, list[str]]] = {
    "raw": ("raw", ["--format", "raw"]),
    "wrapped": ("qcow2", []),
    "wrapped unseen": ("qcow2", ["--no-verify"]),
    "zstd": ("qcow2", ["--reencode", "zstd"]),
    "zlib": ("qcow2", ["--reencode", "zlib"]),
    "not packed": ("qcow2", ["--no-compress"]),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_copy_is_identical(way: str, disk: Path, box: Path, tmp_path: Path) -> None:
    form, options = WAYS[way]
    done = run("convert", box, tmp_path / "target", *options)
    assert done.returncode == 0, done.stderr
    assert ("Wrapping" in done.stderr) == way.startswith("wrapped")
    assert same(disk, tmp_path / "target", form)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["course.box", "disk.raw", "target"]


def test_a_wrapped_image_is_no_larger_than_its_source(box: Path, tmp_path: Path) -> None:
    assert run("convert", box, tmp_path / "target").returncode == 0
    tables = 5 * 65536  # header, refcounts and mappings of a disk this small
    assert (tmp_path / "target").stat().st_size <= box.stat().st_size + tables


def test_the_sum_is_that_of_the_file(disk: Path, tmp_path: Path) -> None:
    done = run("convert", disk, tmp_path / "target", "--sha256")
    assert done.stdout.split() == [
        hashlib.sha256((tmp_path / "target").read_bytes()).hexdigest(),
        str(tmp_path / "target"),
    ]


def test_the_same_source_makes_the_same_bytes(box: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert run("convert", box, tmp_path / name, "--reencode", "zstd").returncode == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


SHRINKABLE = Machine("label: gpt\nsize=150MiB, type=L\nsize=32MiB, type=S", {1: ext4, 2: swap})
SOURCES = {
    "raw": ["raw"],
    "vdi": ["vdi"],
    "monolithicSparse": ["vmdk"],
    "streamOptimized": ["vmdk", "-o", "subformat=streamOptimized"],
}


@pytest.mark.parametrize("packing", [[], ["--reencode", "zlib"], ["--no-compress"]], ids=["as it is", "zlib", "none"])
@pytest.mark.parametrize("source", SOURCES)
def test_what_is_shrunk_is_what_is_written(source: str, packing: list[str], tmp_path: Path) -> None:
    disk = make_machine(tmp_path / "disk", SHRINKABLE)
    sh("qemu-img", "convert", "-f", "raw", "-O", *SOURCES[source], disk, tmp_path / "source")
    before = hashlib.sha256((tmp_path / "source").read_bytes()).digest()
    options = ["--shrink", "--headroom", "5", *packing]
    done = run("convert", tmp_path / "source", tmp_path / "target", *options)
    assert done.returncode == 0, done.stderr
    sh("qemu-img", "check", "-q", tmp_path / "target")
    sh("qemu-img", "convert", "-f", "qcow2", "-O", "raw", tmp_path / "target", disk)
    assert disk.stat().st_size < 150 * MIB
    assert "no errors" in sh("sfdisk", "--verify", disk).lower()
    assert data_of(disk, MIB) == DATA
    assert hashlib.sha256((tmp_path / "source").read_bytes()).digest() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "source", "target"]


REFUSED: dict[str, tuple[list[str], str]] = {
    "no folder": (["disk.raw", "nowhere/target"], "There is no folder"),
    "a folder": (["disk.raw", "."], "is a folder"),
    "itself": (["disk.raw", "disk.raw"], "is the source itself"),
    "no source": (["nothing.box", "target"], "There is no file"),
    "a text": (["text", "target"], "is no disk that we know"),
    "cannot be shrunk": (["disk.raw", "target", "--shrink"], "artition"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_leaves_nothing(case: str, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text").write_text("hello " * 1000)
    monkeypatch.chdir(tmp_path)
    words, reason = REFUSED[case]
    before = hashlib.sha256(disk.read_bytes()).digest()
    done = run("convert", *words)
    assert done.returncode == 2, done.stderr
    assert reason in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk.raw", "text"]
    assert hashlib.sha256(disk.read_bytes()).digest() == before


def test_a_target_that_is_there_stays_until_the_new_one_is_complete(disk: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    with disk.open("r+b") as stream:
        stream.truncate(30 * MIB + 1)
    assert run("convert", disk, target).returncode == 2
    assert target.read_text() == "precious"
    with disk.open("r+b") as stream:
        stream.truncate(30 * MIB)
    assert run("convert", disk, target, "--format", "raw").returncode == 0
    assert same(disk, target, "raw")


def test_a_killed_run_is_taken_up_by_the_next(tmp_path: Path) -> None:
    source, target = tmp_path / "large.raw", tmp_path / "target"
    with source.open("wb") as stream:
        stream.write(b"x" * 510 + b"\x55\xaa" + hashlib.shake_128(b"large").digest(60 * MIB) * 10)
    with subprocess.Popen([*CLI, "convert", str(source), str(target), "--reencode", "zlib"]) as killed:
        unfinished = tmp_path / ".target.unfinished"
        while not unfinished.exists() or unfinished.stat().st_size < MIB:
            assert killed.poll() is None
        killed.send_signal(signal.SIGKILL)
    assert unfinished.exists()
    assert not target.exists()
    done = run("convert", source, target, "--format", "raw")
    assert done.returncode == 0, done.stderr
    assert not unfinished.exists()
    assert same(source, target, "raw")


def test_missing_programs_are_named_as_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PreflightError, match=r"mmdebstrap.*systemd-container") as caught:
        check_programs(BOX_PROGRAMS)
    assert str(caught.value.hint).startswith("apt-get install ")


def test_a_box_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(InvalidInputError, match="There is no box"):
        build_image("demo", Silent(), Wish(box=tmp_path / "nowhere.box"))
