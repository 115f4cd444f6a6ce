"""A raw disk's root filesystem, mounted: the one thing in this package that needs root."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from provision.disks.table import read_table
from provision.errors import CommandError, InvalidInputError
from provision.process import run

RELEASE_SECONDS = 15.0  # what a program that just ended may take to let go of the mount


@dataclass(frozen=True)
class Mounted:
    """A mounted root filesystem, the loop devices behind it (the whole disk, the partition), and its UUID."""

    root: Path
    disk: Path
    partition: Path
    uuid: str


@contextmanager
def mounted(disk: Path, place: Path) -> Iterator[Mounted]:
    """Mount the last partition of the raw `disk` at the new folder `place`, for as long as the context lasts."""
    number = read_table(disk).last.number
    with _loop(disk) as device:
        partition = Path(f"{device}p{number}")
        uuid = run(["blkid", "-o", "value", "-s", "UUID", partition], deadline=60, check=False).stdout.strip()
        place.mkdir()
        try:
            run(["mount", partition, place], deadline=120)
        except CommandError as exc:
            place.rmdir()
            raise InvalidInputError(f"The last partition of {disk} cannot be mounted.\n{exc.message}") from exc
        try:
            yield Mounted(place, device, partition, uuid)
        finally:
            _unmount(place)
            place.rmdir()


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
    """The processes whose root directory is on a loop device's partition."""
    for mounts in Path("/proc").glob("[0-9]*/mountinfo"):
        with contextlib.suppress(OSError):
            fields = [line.split() for line in mounts.read_text().splitlines()]
            if any(words[4] == "/" and words[-2].startswith(f"{device}p") for words in fields):
                yield int(mounts.parent.name)


@contextmanager
def _loop(disk: Path) -> Iterator[Path]:
    device = Path(run(["losetup", "--find", "--show", disk], deadline=60).stdout.strip())
    try:
        # Not losetup --partscan: it needs a kernel that knows partition tables, partx does not.
        run(["partx", "--update", device], deadline=60)
        yield device
    finally:
        _detach(device)


def _detach(device: Path) -> None:
    run(["partx", "--delete", device], deadline=60, check=False)
    run(["losetup", "--detach", device], deadline=60)


def _unmount(place: Path) -> None:
    end = time.monotonic() + RELEASE_SECONDS
    while time.monotonic() < end:
        if not run(["umount", place], deadline=300, check=False).returncode:
            return
        time.sleep(0.2)
    run(["umount", place], deadline=300)
