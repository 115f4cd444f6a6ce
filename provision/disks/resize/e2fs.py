"""An ext2, ext3 or ext4 filesystem in a plain file, checked and made small by e2fsprogs, without root."""

import os
import re
from pathlib import Path

from provision.disks.extents import SECTOR
from provision.errors import CommandError, InvalidInputError
from provision.process import run, tail

# Each program runs in the image's folder: a question mark in a path would begin options for e2fsprogs.
SLOW = 1800.0
_CORRECTED, _UNCORRECTED = 2, 4  # e2fsck(8): up to 2 the errors are mended, 4 says that some are left
_PASSES = 3
_HINT = "Convert the disk as it is."


def shrink_filesystem(image: Path, *, headroom: int, most: int, unit: int) -> int:
    """Make the filesystem that fills `image` as small as its data and `headroom` bytes; return its size.

    The size is a multiple of `unit` or, where it cannot shrink, `most`. Headroom is what ordinary users can fill: the
    blocks reserved for root do not count. Blocks that hold nothing become holes. Raises InvalidInputError if the
    filesystem is damaged.
    """
    _mend(image)
    if "bigalloc" in _superblock(image):
        raise InvalidInputError(
            "The disk's ext4 filesystem has the feature bigalloc, and cannot be shrunk.", hint=_HINT
        )
    size = most
    for _ in range(_PASSES):  # the first one reckons with more superblock copies than stay
        wanted = min(most, -(-_wanted(_superblock(image), headroom) // unit) * unit)
        if size - wanted < max(unit, size // 100):
            break
        size = wanted
        _resize(image, size)
    _mend(image, "-E", "discard")
    return size


def _wanted(fields: str, headroom: int) -> int:
    """The bytes that a filesystem with these `fields` needs for what it holds and `headroom`.

    Not `resize2fs -P`: its sum (calculate_minimum_resize_size, e2fsprogs 1.47) forgets the room in up to 15 groups,
    1.9 GiB, where few inodes are used. The slack for what moving itself needs is the same.
    """
    block, blocks = _number(fields, "Block size"), _number(fields, "Block count")
    per_group, inodes_per_group = _number(fields, "Blocks per group"), _number(fields, "Inodes per group")
    tables = _number(fields, "Inode blocks per group") + 2
    inodes = _number(fields, "Inode count") - _number(fields, "Free inodes")
    data = blocks - _number(fields, "Free blocks") - -(-blocks // per_group) * tables
    trees = min((blocks - data) // 500, max(data * 12 // block, inodes))  # an extent has 12 bytes
    slack = _number(fields, "Flex block group size", 1) * tables + trees
    room = -(-headroom // block) + min(blocks // 50, 4096)  # what the kernel keeps for itself, besides
    # Of each block some is for its group's tables, and some is kept for root.
    share = max(per_group * blocks - tables * blocks - _number(fields, "Reserved block count") * per_group, 1)
    size = (data + tables + max(room, slack)) * per_group * blocks // share + 1
    return max(size, inodes * per_group // inodes_per_group + room) * block  # inodes for new files, too


def enlarge_filesystem(image: Path, size: int) -> None:
    """Make the filesystem that fills `image`, and `image`, `size` bytes long. InvalidInputError: it is damaged."""
    _mend(image)
    os.truncate(image, size)
    run(["resize2fs", image.name], cwd=image.parent, deadline=SLOW)


def free_bytes(image: Path, place: int) -> int:
    """The bytes that ordinary users can still fill in the filesystem at byte `place` of `image`."""
    fields = run(["dumpe2fs", "-h", f"{image.name}?offset={place}"], cwd=image.parent, deadline=60).stdout
    free = _number(fields, "Free blocks") - _number(fields, "Reserved block count")
    return max(free, 0) * _number(fields, "Block size")


def check_filesystem(image: Path, place: int = 0) -> None:
    """Raise CommandError unless the filesystem at byte `place` of `image` is free of errors. Nothing is written."""
    run(["e2fsck", "-f", "-n", f"{image.name}?offset={place}"], cwd=image.parent, deadline=SLOW)


def _resize(image: Path, size: int) -> None:
    # -f: let it go below what it believes to be the least
    run(["resize2fs", "-f", image.name, f"{size // SECTOR}s"], cwd=image.parent, deadline=SLOW)
    os.truncate(image, size)


def _mend(image: Path, *options: str) -> None:
    done = run(["e2fsck", "-f", "-p", *options, image.name], cwd=image.parent, deadline=SLOW, check=False)
    if done.returncode & ~(_CORRECTED | 1):
        damaged = done.returncode & _UNCORRECTED
        what = "is damaged beyond what e2fsck mends by itself" if damaged else "cannot be checked"
        raise InvalidInputError(
            f"The disk's ext4 filesystem {what}.\n{tail(done)}",
            hint="Run e2fsck in its machine and export the disk again, or convert it as it is.",
        )


def _superblock(image: Path) -> str:
    return run(["dumpe2fs", "-h", image.name], cwd=image.parent, deadline=60).stdout


def _number(fields: str, name: str, absent: int | None = None) -> int:
    found = re.search(rf"^{name}: +(\d+)", fields, re.MULTILINE)
    if not found and absent is None:
        raise CommandError(f"dumpe2fs says no {name}.")
    return int(found[1]) if found else int(absent or 0)
