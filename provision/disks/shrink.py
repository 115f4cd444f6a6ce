"""Make a raw disk as small as its data, in place, without root, loop devices or a copy."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provision.disks.table import SECTOR, Table, read_table, write_table
from provision.errors import CommandError, InvalidInputError
from provision.process import run

ALIGNMENT = 2**20
GPT_BACKUP = 2**20  # room for GPT's second header after the last partition
SLOW = 1800.0
EXT4_MAGIC = (1024 + 56, b"\x53\xef")


def shrink(disk: Path, *, headroom: int) -> int:
    """Shrink the last partition, which must be ext4, to its data and `headroom` bytes; return the disk's new size.

    The disk is worked on in place and is of no use if this raises: give it a copy.
    """
    table = read_table(disk)
    check_shrinkable(disk, table)
    with _without_head(disk, table.last.start):
        size = _shrink_filesystem(disk, headroom, table.last.size)
    end = table.last.start + size + (GPT_BACKUP if table.label == "gpt" else 0)
    os.truncate(disk, end)
    write_table(disk, table, last_size=size)
    return end


def check_shrinkable(disk: Path, table: Table) -> None:
    """Raise InvalidInputError, saying why, unless `shrink` can shrink this disk."""
    place, magic = EXT4_MAGIC
    with disk.open("rb") as stream:
        stream.seek(table.last.start + place)
        if stream.read(len(magic)) != magic:
            raise InvalidInputError(
                f"The last partition of {disk} holds no ext4 filesystem: only that can be shrunk.",
                hint="LVM, XFS, btrfs, encrypted disks and a swap partition at the end are not supported yet.",
            )
    if table.label not in ("dos", "gpt"):
        raise InvalidInputError(f"{disk} has a partition table of type {table.label}: only dos and gpt can be shrunk.")


@contextmanager
def _without_head(disk: Path, length: int) -> Iterator[None]:
    """Take the first `length` bytes away, so that the file is the filesystem, and put them back.

    Never `resize2fs "disk?offset=N"` instead: it cuts N bytes off the filesystem's end.
    """
    with disk.open("rb") as stream:
        head = stream.read(length)
    _fallocate(disk, "--collapse-range", length)
    try:
        yield
    finally:
        _fallocate(disk, "--insert-range", length)
        with disk.open("r+b") as stream:
            stream.write(head)


def _fallocate(disk: Path, what: str, length: int) -> None:
    try:
        run(["fallocate", what, "--offset", "0", "--length", str(length), disk], deadline=300)
    except CommandError as exc:
        raise CommandError(
            f"The filesystem that holds {disk} cannot move the start of a file.\n{exc.message}",
            hint="Work on ext4 or XFS: XDG_CACHE_HOME says where.",
        ) from exc


def _shrink_filesystem(image: Path, headroom: int, most: int) -> int:
    """Shrink an ext4 image to its data and `headroom`, at most `most` bytes; return its size, a multiple of 1 MiB."""
    # 1 and 2: errors were corrected
    if run(["e2fsck", "-f", "-p", image], deadline=SLOW, check=False).returncode > 2:
        raise InvalidInputError("The filesystem is damaged beyond what e2fsck mends by itself.", hint="Check the box.")
    block = _number(run(["dumpe2fs", "-h", image], deadline=60).stdout, r"^Block size: +(\d+)")
    least = _number(run(["resize2fs", "-P", image], deadline=SLOW).stdout, r": (\d+)$") * block
    size = min(most, -(-(least + headroom) // ALIGNMENT) * ALIGNMENT)
    run(["resize2fs", image, f"{size // SECTOR}s"], deadline=SLOW)
    run(["e2fsck", "-f", "-n", image], deadline=SLOW)
    return size


def _number(text: str, pattern: str) -> int:
    found = re.search(pattern, text, re.MULTILINE)
    if not found:
        raise CommandError(f"e2fsprogs printed nothing that matches {pattern!r}.")
    return int(found[1])
