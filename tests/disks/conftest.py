"""Real disks, made on the spot: a partition table, ext4, and known files in it."""

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from provision.disks.resize.table import read_table

MIB = 2**20
EXT4_UUID = "11111111-2222-4333-8444-555555555555"
SWAP_UUID = "66666666-7777-4888-9999-aaaaaaaaaaaa"
DATA = hashlib.shake_128(b"data").digest(20 * MIB)
BOOT = hashlib.shake_128(b"boot").digest(MIB)


def sh(*words: str | Path, stdin: str | None = None) -> str:
    return subprocess.run([*map(str, words)], input=stdin, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def make_disk(tmp_path: Path) -> Callable[..., Path]:
    """A raw disk of `size` MiB with one ext4 partition that holds a file of 20 MiB."""

    def make(label: str = "dos", size: int = 600, extra: str = "") -> Path:
        disk, filesystem, content = (tmp_path / name for name in (f"{label}.raw", "filesystem", "content"))
        content.mkdir()
        (content / "data").write_bytes(DATA)
        with disk.open("wb") as stream:
            stream.truncate(size * MIB)
        length = (size - 2) * MIB if not extra else (size // 2) * MIB
        sh("sfdisk", "--quiet", "--label", label, disk, stdin=f"start=2048, size={length // 512}, type=L\n{extra}\n")
        with filesystem.open("wb") as stream:
            stream.truncate(length)
        sh("mkfs.ext4", "-q", "-d", content, "-U", EXT4_UUID, filesystem)
        sh("dd", f"if={filesystem}", f"of={disk}", "bs=1M", "seek=1", "conv=notrunc,sparse", "status=none")
        filesystem.unlink()
        with disk.open("r+b") as stream:
            stream.write(b"boot code")
        return disk

    return make


Fill = Callable[[Path, int, int], None]  # what puts something into a disk's bytes: from where, how many


class Machine(NamedTuple):
    """What a disk is made of: sfdisk's script, and what fills each partition (0: the whole disk)."""

    script: str
    contents: dict[int, Fill]
    size: int = 200  # MiB


def make_machine(disk: Path, machine: Machine) -> Path:
    """Make a raw disk, with other boot code and data than zeros."""
    with disk.open("wb") as stream:
        stream.truncate(machine.size * MIB)
        if machine.script:
            stream.write(hashlib.shake_128(b"code").digest(440))
    places = {0: (0, machine.size * MIB)}
    if machine.script:
        sh("sfdisk", "--quiet", disk, stdin=machine.script)
        places = {each.number: (each.start, each.size) for each in read_table(disk).partitions}
    for number, fill in machine.contents.items():
        fill(disk, *places[number])
    return disk


def ext4(disk: Path, start: int, size: int) -> None:
    """An ext4 filesystem with /data and /etc/os-release, from which 30 MiB were deleted."""
    with tempfile.TemporaryDirectory(dir=disk.parent) as folder:
        (Path(folder) / "data").write_bytes(DATA)
        (Path(folder) / "deleted").write_bytes(DATA + DATA[: 10 * MIB])
        (Path(folder) / "etc").mkdir()
        (Path(folder) / "etc" / "os-release").write_text("ID=debian\n")
        sh("mkfs.ext4", "-q", "-F", "-d", folder, "-U", EXT4_UUID, "-E", f"offset={start}", disk, f"{size // 1024}k")
    sh("debugfs", "-w", "-R", "rm /deleted", f"{disk}?offset={start}")


def swap(disk: Path, start: int, size: int) -> None:
    """A swap area with something in it."""
    with tempfile.NamedTemporaryFile(dir=disk.parent) as area:
        area.truncate(size)
        sh("mkswap", "--uuid", SWAP_UUID, area.name)
        header = Path(area.name).read_bytes()[:4096]
    write_at(disk, start, header + DATA[: 8 * MIB])


def boot(disk: Path, start: int, _size: int) -> None:
    """What GRUB has in a BIOS boot partition."""
    write_at(disk, start, BOOT)


def write_at(disk: Path, place: int, content: bytes) -> None:
    with disk.open("r+b") as stream:
        stream.seek(place)
        stream.write(content)


def probe(disk: Path, start: int, size: int) -> tuple[str, str]:
    """What blkid says is there: type and UUID."""
    found = sh("blkid", "--probe", "--output", "export", "--offset", str(start), "--size", str(size), disk)
    fields = dict(line.split("=", 1) for line in found.splitlines())
    return fields["TYPE"], fields["UUID"]


def data_of(disk: Path, start: int) -> bytes:
    """The content of /data in the filesystem at `start`, which must have no errors."""
    sh("e2fsck", "-f", "-n", f"{disk}?offset={start}")
    with tempfile.NamedTemporaryFile() as data:
        sh("debugfs", "-R", f"dump /data {data.name}", f"{disk}?offset={start}")
        return Path(data.name).read_bytes()


def free_of(disk: Path, start: int) -> int:
    """The bytes that ordinary users can still fill in the filesystem at `start`."""
    listed = sh("dumpe2fs", "-h", f"{disk}?offset={start}").splitlines()
    fields = dict(line.split(":", 1) for line in listed if ":" in line)
    free = int(fields["Free blocks"]) - int(fields["Reserved block count"])
    return free * int(fields["Block size"])


class Group:
    """A volume group on part of a disk, seen and changed by LVM's own tools; no device-mapper is asked."""

    def __init__(self, device: str) -> None:
        self.device = device

    def lvm(self, *words: str) -> str:
        return sh("lvm", *words, "--devices", self.device, "--driverloaded", "n", "--yes")

    def dump(self, what: str) -> str:
        """What pvck finds on the device, which it reads without asking which devices it may."""
        return sh("lvm", "pvck", "--dump", what, self.device, "--driverloaded", "n")

    def pieces(self) -> dict[str, list[tuple[int, int]]]:
        """Where the volumes lie: first byte and length, counted from the physical volume's beginning."""
        units = ("--units", "b", "--nosuffix", "--reportformat", "json")
        (facts,) = json.loads(self.lvm("pvs", "-o", "pe_start,vg_extent_size", *units))["report"][0]["pv"]
        first, extent = int(facts["pe_start"]), int(facts["vg_extent_size"])
        rows = json.loads(self.lvm("lvs", "--segments", "-o", "lv_name,seg_pe_ranges", *units))["report"][0]["seg"]
        found: dict[str, list[tuple[int, int]]] = {}
        for row in rows:
            start, end = map(int, row["seg_pe_ranges"].rsplit(":", 1)[1].split("-"))
            found.setdefault(row["lv_name"], []).append((first + start * extent, (end - start + 1) * extent))
        return found


@contextmanager
def volume_group(disk: Path, start: int, size: int) -> Iterator[Group]:
    device = sh("losetup", "--find", "--show", "--offset", str(start), "--sizelimit", str(size), disk).strip()
    try:
        yield Group(device)
    finally:
        sh("losetup", "--detach", device)


def lvm(*commands: str, copies: int = 1, **fills: Fill) -> Fill:
    """The group `vg` made by some of LVM's `commands`, and what fills its volumes."""

    def fill(disk: Path, start: int, size: int) -> None:
        with volume_group(disk, start, size) as group:
            group.lvm("pvcreate", "--metadatacopies", str(copies), group.device)
            group.lvm("vgcreate", "vg", group.device)
            for command in commands:
                quiet = ("-an", "-Zn", "-Wn") if command.startswith("lvcreate") else ()
                group.lvm(*command.split(), *quiet)
            pieces = group.pieces()
        for name, fill_volume in fills.items():
            fill_pieces(disk, start, pieces[name], fill_volume)

    return fill


def fill_pieces(disk: Path, start: int, pieces: list[tuple[int, int]], fill: Fill) -> None:
    whole = disk.with_name("volume")
    with whole.open("wb") as stream:
        stream.truncate(sum(size for _, size in pieces))
    fill(whole, 0, whole.stat().st_size)
    done = 0
    with whole.open("rb") as stream:
        for place, size in pieces:
            stream.seek(done)
            write_at(disk, start + place, stream.read(size))
            done += size
    whole.unlink()
