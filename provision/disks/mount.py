"""A raw disk's root filesystem, mounted: the one thing in this package that needs root."""

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


@contextmanager
def _loop(disk: Path) -> Iterator[Path]:
    device = Path(run(["losetup", "--find", "--show", disk], deadline=60).stdout.strip())
    try:
        # Not losetup --partscan: it needs a kernel that knows partition tables, partx does not.
        run(["partx", "--update", device], deadline=60)
        yield device
    finally:
        run(["partx", "--delete", device], deadline=60, check=False)
        run(["losetup", "--detach", device], deadline=60)


def _unmount(place: Path) -> None:
    end = time.monotonic() + RELEASE_SECONDS
    while time.monotonic() < end:
        if not run(["umount", place], deadline=300, check=False).returncode:
            return
        time.sleep(0.2)
    run(["umount", place], deadline=300)
