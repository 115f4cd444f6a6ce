"""A raw disk's root filesystem, mounted: the one thing in this package that needs root."""

import contextlib
import json
import os
import re
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from provision.disks.inside.lvm import Volume
from provision.disks.resize.contents import read_contents
from provision.disks.resize.layout import EXT
from provision.disks.resize.table import Table, read_table
from provision.errors import CommandError, InvalidInputError
from provision.process import run

RELEASE_SECONDS = 15.0  # what a program that just ended may take to let go of the mount
_MOUNTABLE = (*EXT, "xfs", "btrfs")


@dataclass(frozen=True)
class Mounted:
    """A mounted root filesystem, the loop devices behind it (the whole disk, the partition or volume), and its UUID."""

    root: Path
    disk: Path
    partition: Path
    uuid: str


class _Candidate(NamedTuple):
    """A filesystem that may be the root: of a partition, or of a volume on it."""

    size: int
    number: int
    volume: Volume | None


@contextmanager
def mounted(disk: Path, place: Path) -> Iterator[Mounted]:
    """Mount the root filesystem of the raw `disk` at the new folder `place`, for as long as the context lasts."""
    table = read_table(disk)
    candidates = sorted(_candidates(disk, table), key=lambda each: each.size, reverse=True)
    with _loop(disk, table) as device, _folder(place):
        for candidate in candidates:
            with _device(disk, device, candidate) as partition, _mount(partition, place):
                if len(candidates) == 1 or os.path.lexists(place / "etc" / "os-release"):
                    uuid = run(["blkid", "-o", "value", "-s", "UUID", partition], deadline=60, check=False).stdout
                    yield Mounted(place, device, partition, uuid.strip())
                    return
    raise InvalidInputError(f"{disk} holds no system: no filesystem that can be mounted has /etc/os-release.")


def _candidates(disk: Path, table: Table) -> Iterator[_Candidate]:
    contents = read_contents(disk, table)
    for partition in table.partitions:
        content = contents[partition.number]
        if content.kind in _MOUNTABLE:
            yield _Candidate(partition.size, partition.number, None)
        for volume in content.group.volumes if content.group else ():
            if content.volumes.get(volume.name) in _MOUNTABLE:
                yield _Candidate(volume.size, partition.number, volume)


@contextmanager
def _folder(place: Path) -> Iterator[None]:
    place.mkdir()
    try:
        yield
    finally:
        place.rmdir()


@contextmanager
def _mount(device: Path, place: Path) -> Iterator[None]:
    try:
        run(["mount", device, place], deadline=120)
    except CommandError as exc:
        raise InvalidInputError(f"A filesystem of the disk cannot be mounted.\n{exc.message}") from exc
    try:
        yield
    finally:
        _unmount(place)


@contextmanager
def _device(disk: Path, device: Path, candidate: _Candidate) -> Iterator[Path]:
    """The block device of a filesystem: a partition of `device`, or for a volume a loop device of its own."""
    if not candidate.volume:
        yield Path(f"{device}p{candidate.number}") if candidate.number else device
        return
    runs = candidate.volume.runs
    if len(runs) > 1:
        raise InvalidInputError(
            f"The volume {candidate.volume.name} of {disk} lies in {len(runs)} pieces and cannot be mounted.",
            hint="`provision image shrink` puts them together.",
        )
    where = ["--offset", str(runs[0].place), "--sizelimit", str(runs[0].size)]
    own = Path(run(["losetup", "--find", "--show", *where, disk], deadline=60).stdout.strip())
    try:
        os.mknod(_alias(own), stat.S_IFBLK | 0o600, own.stat().st_rdev)
        yield _alias(own)
    finally:
        _detach(own)


def _alias(device: Path) -> Path:
    """Another name of a loop device: update-grub writes no menu for a root that is mounted from /dev/loop0."""
    return device.with_name(f"provision-{device.name}")


def release(folder: Path) -> None:
    """Let go of what a killed run left of the disks in `folder`: programs that run in them, mounts, loop devices."""
    listed = json.loads(run(["losetup", "--json"], deadline=60).stdout or "{}").get("loopdevices", ())
    devices = [each["name"] for each in listed if Path(each["back-file"]).is_relative_to(folder)]
    for device in devices:
        _evict(device)
    for line in Path("/proc/self/mounts").read_text().splitlines():
        place = Path(line.split()[1])
        if place.is_relative_to(folder):
            _unmount(place)
    for device in devices:
        _detach(Path(device))


def _evict(device: str) -> None:
    end = time.monotonic() + RELEASE_SECONDS
    while (processes := list(_inhabitants(device))) and time.monotonic() < end:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.2)


def _inhabitants(device: str) -> Iterator[int]:
    """The processes whose root directory is on a loop device, its other name or its partition."""
    node = re.compile(rf"{device}(p\d+)?|{_alias(Path(device))}")
    for mounts in Path("/proc").glob("[0-9]*/mountinfo"):
        with contextlib.suppress(OSError):
            fields = [line.split() for line in mounts.read_text().splitlines()]
            if any(words[4] == "/" and node.fullmatch(words[-2]) for words in fields):
                yield int(mounts.parent.name)


@contextmanager
def _loop(disk: Path, table: Table) -> Iterator[Path]:
    device = Path(run(["losetup", "--find", "--show", disk], deadline=60).stdout.strip())
    try:
        # Not losetup --partscan: it needs a kernel that knows partition tables, partx does not.
        if table.label != "none":
            run(["partx", "--delete", device], deadline=60, check=False)
            run(["partx", "--add", device], deadline=60)  # --update passes over logical partitions
        yield device
    finally:
        _detach(device)


def _detach(device: Path) -> None:
    _alias(device).unlink(missing_ok=True)
    run(["partx", "--delete", device], deadline=60, check=False)
    run(["losetup", "--detach", device], deadline=60)


def _unmount(place: Path) -> None:
    end = time.monotonic() + RELEASE_SECONDS
    while time.monotonic() < end:
        if not run(["umount", place], deadline=300, check=False).returncode:
            return
        time.sleep(0.2)
    run(["umount", place], deadline=300)
