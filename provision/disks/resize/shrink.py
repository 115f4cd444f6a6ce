"""Make a raw disk as small as its data, in place, without root, loop devices or device-mapper."""

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from provision.disks.extents import Disk
from provision.disks.inside.lvm import Run, VolumeGroup, read_volumes
from provision.disks.inside.view import View
from provision.disks.resize.contents import foresee_contents, read_contents
from provision.disks.resize.e2fs import check_filesystem, shrink_filesystem
from provision.disks.resize.layout import EMPTY, EXTENDED, SWAP, Content, Layout, Root, find_root, plan_layout
from provision.disks.resize.lvmwrite import write_volumes
from provision.disks.resize.sparse import HOST_BLOCK, Move, copy_data, cut_head, put_head
from provision.disks.resize.table import Table, gpt_is_sound, read_table, write_table
from provision.disks.target import scratch
from provision.disks.window import opened_file
from provision.errors import CommandError

ALIGNMENT = 2**20


def check_shrinkable(disk: Path) -> None:
    """Raise InvalidInputError, saying why, unless `shrink` can shrink the raw `disk`. Nothing is written."""
    table = read_table(disk)
    find_root(table, read_contents(disk, table))


def check_source(disk: Disk) -> None:
    """Raise InvalidInputError, in the words of `check_shrinkable`, if what is seen in a source cannot be shrunk.

    What is not known here is left to that, and so is a gzipped source, which would have to be inflated once more.
    """
    first = next(disk.extents(), None)
    if first and first.window.file is not None:
        table, contents = foresee_contents(View(disk))
        if any(content.kind not in (EMPTY, EXTENDED, SWAP) for content in contents.values()):
            find_root(table, contents)


def shrink(disk: Path, *, headroom: int) -> int:
    """Shrink the last ext4 filesystem to its data and `headroom` bytes, close up what follows; return the new size.

    The raw `disk` is worked on in place. Where check_shrinkable would refuse it, it is not touched; when anything else
    raises it is of no use any more: give it a copy.
    """
    table = read_table(disk)
    contents = read_contents(disk, table)
    root = find_root(table, contents)
    before = plan_layout(table, contents, root.size)
    with scratch(disk) as folder:
        rest, filesystem = folder / "rest", folder / "filesystem"
        copy_parts(disk, rest, (move._replace(target=move.source) for move in before.moves))
        if not cut_out(disk, root.runs, before.place):
            copy_parts(disk, filesystem, _joined(root.runs))
            os.truncate(filesystem, root.size)
            os.truncate(disk, 0)
        image = filesystem if filesystem.exists() else disk
        size = shrink_filesystem(image, headroom=headroom, most=root.size, unit=_unit(root, contents))
        layout = plan_layout(table, contents, size)
        put_back(disk, image, layout, size)
        copy_parts(rest, disk, layout.moves)
    write_tables(disk, table, contents[root.partition.number].group, layout)
    check_filesystem(disk, layout.place)
    return layout.size


def copy_parts(source: Path, target: Path, moves: Iterable[Move]) -> None:
    """Copy what is data in the `moves` from one file to another."""
    target.touch()
    with source.open("rb") as reading, target.open("r+b") as writing:
        for move in moves:
            copy_data(reading.fileno(), writing.fileno(), move)


def _joined(runs: Iterable[Run]) -> Iterator[Move]:
    place = 0
    for run in runs:
        yield Move(run.place, place, run.size)
        place += run.size


def cut_out(disk: Path, runs: tuple[Run, ...], place: int) -> bool:
    """Make `disk` consist of the bytes in `runs` alone, if that can be done without copying them; True if it was.

    Never `resize2fs "disk?offset=N"` instead: it cuts N bytes off the filesystem's end.
    """
    whole = all(first.place + first.size == second.place for first, second in pairwise(runs))
    if not whole or place % HOST_BLOCK or not cut_head(disk, runs[0].place):
        return False
    os.truncate(disk, sum(run.size for run in runs))
    return True


def put_back(disk: Path, filesystem: Path, layout: Layout, size: int) -> None:
    """Give the filesystem its place in `disk`, which is all holes but for it then."""
    if filesystem == disk:
        put_head(disk, layout.place)
        os.truncate(disk, layout.size)
    else:
        os.truncate(disk, layout.size)
        copy_parts(filesystem, disk, [Move(0, layout.place, size)])


def _unit(root: Root, contents: Mapping[int, Content]) -> int:
    """What the filesystem's size is a multiple of: an extent, at least 1 MiB."""
    group = contents[root.partition.number].group
    return -(-ALIGNMENT // group.extent_size) * group.extent_size if group else ALIGNMENT


def write_tables(disk: Path, table: Table, group: VolumeGroup | None, layout: Layout) -> None:
    """Write LVM's metadata and the partition table, and read them again."""
    if group and layout.group:
        physical = layout.group.physical_volume
        with disk.open("r+b", buffering=0) as stream:
            write_volumes(stream.fileno(), group, layout.group)
        with opened_file(disk) as window:
            found = read_volumes(window, physical.start, physical.size)
        if (found.text, found.volumes) != (layout.group.text, layout.group.volumes):
            raise CommandError("LVM's metadata on the shrunk disk is not what was written.")
    write_table(disk, table, layout.partitions, layout.moved)
    written = read_table(disk)
    if (written.label, written.identifier, written.partitions) != (table.label, table.identifier, layout.partitions):
        raise CommandError("The partition table of the shrunk disk is not what was written.")
    if table.label == "gpt" and not gpt_is_sound(disk):
        raise CommandError("The shrunk disk's GPT has a header or a list with a wrong checksum.")
