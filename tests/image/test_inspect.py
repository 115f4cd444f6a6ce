"""`image inspect` on real disks: what it says is what was put there, and nothing of it needs root."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from provision.progress import Silent
from provision.workflows.inspect import Inspection, inspect_image
from tests.disks.conftest import Fill, lvm, sh, swap, write_at
from tests.guests.shelf import Link
from tests.guests.test_doctor import HEALTHY, OPENED, Files, logins

CLI = [sys.executable, "-c", "from provision.cli import main; main()", "image", "inspect"]
MIB = 2**20
ROOT_UUID, BOOT_UUID = ("11111111-2222-4333-8444-555555555555", "66666666-2222-4333-8444-555555555555")
FSTAB = f"UUID={ROOT_UUID} / ext4 defaults 0 1\nUUID={BOOT_UUID} /boot ext4 defaults 0 2\n".encode()
FAULTS: Files = {"/etc/machine-id": b"1cb508aac4274df9993dd0c4d1a25164\n", **logins(vagrant=OPENED)}


def laid_out(folder: Path, files: Files) -> Path:
    """A folder with those files, to make a filesystem of."""
    for name, content in files.items():
        path = folder / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Link):
            path.symlink_to(content)
        else:
            path.write_bytes(content)
    return folder


def guest(files: Files, uuid: str = ROOT_UUID) -> Fill:
    """What fills a partition with a filesystem of those files."""

    def fill(disk: Path, start: int, size: int) -> None:
        image = disk.with_name(f"{uuid}.ext4")
        content = laid_out(disk.with_name(uuid), files)
        sh("mkfs.ext4", "-q", "-L", "course", "-U", uuid, "-d", content, image, f"{size // 1024}k")
        write_at(disk, start, image.read_bytes())

    return fill


def made(target: Path, script: str, *fills: Fill, label: str = "dos", size: int = 96) -> Path:
    """A disk whose partitions are `script`'s, from 1 MiB on, each filled."""
    with target.open("wb") as stream:
        stream.truncate(size * MIB)
    sh("sfdisk", "--quiet", "--label", label, target, stdin=script)
    parts = json.loads(sh("sfdisk", "--json", target))["partitiontable"]["partitions"]
    for part, fill in zip(parts, fills, strict=True):
        fill(target, part["start"] * 512, part["size"] * 512)
    return target


def xfs(disk: Path, start: int, _size: int) -> None:
    write_at(disk, start, b"XFSB\0\0\x10\0" + bytes(7) + b"\x09")


def below_boot(files: Files) -> Files:
    return {name.removeprefix("/boot"): content for name, content in files.items() if name.startswith("/boot/")}


def inspected(disk: Path) -> Inspection:
    return inspect_image(disk, Silent())


def test_a_guest_on_partitions(tmp_path: Path) -> None:
    files: Files = {**HEALTHY, **FAULTS, "/etc/fstab": FSTAB}
    root = {name: content for name, content in files.items() if not name.startswith("/boot/")} | {"/boot/x": b""}
    disk = made(
        tmp_path / "disk.raw",
        "size=20M, type=83\nsize=40M, type=83, bootable\nsize=8M, type=82\ntype=83",
        guest(below_boot(files), BOOT_UUID),
        guest(root),
        swap,
        xfs,
    )
    found = inspected(disk)
    assert (found.container, found.format, found.virtual_size) == ("file", "raw", 96 * MIB)
    assert [(each.place, each.filesystem.kind) for each in found.filesystems] == [
        ("partition 1", "ext4"),
        ("partition 2", "ext4"),
        ("partition 3", "swap"),
        ("partition 4", "xfs"),
    ]
    assert found.system is not None
    assert found.system.boot.menu == "/boot/grub/grub.cfg"
    assert [each.name for each in found.findings] == ["known_password", "fixed_machine_id"]
    assert found.unread == ("partition 4: the files of xfs are not read here",)
    used = found.filesystems[1].filesystem
    assert used.size == 40 * MIB
    assert (used.used or 0) + (used.free or 0) == used.size


def test_a_guest_on_lvm(tmp_path: Path) -> None:
    sizes = {"swap_1": 8, "bo-ot": 16, "root": 40}
    fstab = b"/dev/mapper/vg-root / ext4 defaults 0 1\n/dev/mapper/vg-bo--ot /boot ext4 defaults 0 2\n"
    files: Files = {**HEALTHY, **FAULTS, "/etc/fstab": fstab}
    root = {name: content for name, content in files.items() if not name.startswith("/boot/")} | {"/boot/x": b""}
    fills = {"swap_1": swap, "bo-ot": guest(below_boot(files), BOOT_UUID), "root": guest(root)}
    volumes = lvm(*(f"lvcreate -L {size}M -n {name} vg" for name, size in sizes.items()), copies=1, **fills)
    found = inspected(made(tmp_path / "disk.raw", "type=8e", volumes))
    assert {each.place: each.filesystem.kind for each in found.filesystems} == {
        "partition 1": "LVM2_member",
        "vg/swap_1": "swap",
        "vg/bo-ot": "ext4",
        "vg/root": "ext4",
    }
    assert {(group.name, each.name): each.size for group in found.volume_groups for each in group.volumes} == {
        ("vg", name): size * MIB for name, size in sizes.items()
    }
    assert found.system is not None
    assert found.system.boot.menu == "/boot/grub/grub.cfg"
    assert [each.name for each in found.findings] == ["known_password", "fixed_machine_id"]


@pytest.mark.parametrize("form", ["qcow2", "vmdk", "vdi"])
def test_the_format_makes_no_difference(form: str, tmp_path: Path) -> None:
    disk = made(tmp_path / "disk.raw", "type=83", guest({**HEALTHY, **FAULTS}))
    options = ["-o", "subformat=streamOptimized"] if form == "vmdk" else []
    sh("qemu-img", "convert", "-f", "raw", "-O", form, *options, disk, tmp_path / "other")
    raw, other = inspected(disk), inspected(tmp_path / "other")
    assert (raw.findings, raw.filesystems, raw.system) == (other.findings, other.filesystems, other.system)
    assert form in other.format.lower()


def test_a_filesystem_without_partitions(tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    sh("truncate", "--size", "40M", disk)
    guest(HEALTHY)(disk, 0, 40 * MIB)
    found = inspected(disk)
    assert found.partition_table.label == "none"
    assert [each.place for each in found.filesystems] == ["disk"]
    assert found.system is not None


def run(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*CLI, *map(str, words)], capture_output=True, text=True, check=False)


def test_json_has_every_key(tmp_path: Path) -> None:
    disk = made(tmp_path / "disk.raw", "type=83", guest({**HEALTHY, **FAULTS}))
    done = run(disk, "--format", "json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert list(said) == [
        "file",
        "container",
        "format",
        "virtual_size",
        "data_bytes",
        "partition_table",
        "volume_groups",
        "filesystems",
        "bootloaders",
        "guest",
        "offers",
        "findings",
        "not_looked_into",
    ]
    assert said["partition_table"]["partitions"][0]["start"] == MIB
    assert set(said["filesystems"][0]) == {"place", "kind", "uuid", "label", "size", "used", "free", "notes"}
    assert said["guest"]["name"] == "Debian GNU/Linux 12 (bookworm)"
    assert set(said["findings"][0]) == {"name", "severity", "meaning", "seen", "fixed", "bake"}


def test_people_read_lines_that_a_disk_cannot_colour(tmp_path: Path) -> None:
    release = b'PRETTY_NAME="\x1b[2J\x1b]0;evil\x07Debian"\nID=debian\n'
    disk = made(tmp_path / "disk.raw", "type=83", guest({**HEALTHY, **FAULTS, "/usr/lib/os-release": release}))
    done = run(disk)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "Debian" in done.stdout
    assert "Findings: 2, of which the bake fixes 2 and leaves 0" in done.stdout
    assert done.stdout.index("known_password") < done.stdout.index("fixed_machine_id")


def test_a_disk_that_holds_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    sh("truncate", "--size", "4M", disk)
    done = run(disk, "--from", "raw")
    assert done.returncode == 0, done.stderr
    assert "no filesystem that is read here holds an operating system" in done.stdout


def test_a_damaged_filesystem_is_said_and_the_rest_shown(tmp_path: Path) -> None:
    disk = made(tmp_path / "disk.raw", "size=40M, type=83\ntype=82", guest(HEALTHY), swap)
    write_at(disk, MIB + 1024 + 40, bytes(4))  # inodes in a group
    done = run(disk, "--format", "json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert "is not sound: inodes in a group" in said["filesystems"][0]["notes"][0]
    assert said["filesystems"][1]["kind"] == "swap"


@pytest.mark.parametrize(
    ("content", "words"), [(b"text" * 1000, "no disk that we know"), (b"KDMV" + bytes(600), "disk"), (None, "no file")]
)
def test_a_bad_file_is_refused(content: bytes | None, words: str, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    if content:
        disk.write_bytes(content)
    done = run(disk)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stdout == ""
