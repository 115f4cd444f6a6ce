"""Give a raw disk's last ext4 filesystem more room: the file is sparse, so that costs nothing until it is used."""

import os
from dataclasses import replace
from pathlib import Path

from provision.disks.resize.contents import read_contents
from provision.disks.resize.e2fs import enlarge_filesystem, free_bytes
from provision.disks.resize.layout import MIB, Layout, Root, find_root
from provision.disks.resize.shrink import copy_parts, cut_out, put_back, write_tables
from provision.disks.resize.sparse import Move
from provision.disks.resize.table import Table, read_table
from provision.disks.target import scratch
from provision.errors import InvalidInputError
from provision.progress import amount


def ensure_free(disk: Path, wanted: int, *, least: int) -> int:
    """See that ordinary users can fill `wanted` bytes of the raw `disk`'s filesystem; by how many it was enlarged.

    Where it cannot be enlarged, in LVM or before another partition, `least` bytes are enough. Raises InvalidInputError
    if they are not there; the disk is worked on in place.
    """
    table = read_table(disk)
    contents = read_contents(disk, table)
    root = find_root(table, contents)
    # A volume's beginning is told by its first piece.
    free = free_bytes(disk, root.runs[0].place)
    if free >= wanted:
        return 0
    last = max(table.partitions, key=lambda each: each.end)
    if root.volume or last != root.partition or table.is_logical(root.partition):
        if free >= least:
            return 0
        raise InvalidInputError(
            f"The box's disk is full: {amount(free)} are free, and the bake needs at least {amount(least)}.",
            hint="Remove data from the box, or make its disk and its last partition larger.",
        )
    more = (wanted - free) * 9 // 8 // MIB * MIB + MIB  # tables and what is reserved for root
    _enlarge(disk, table, root, root.size + more)
    return more


def _enlarge(disk: Path, table: Table, root: Root, size: int) -> None:
    layout = _layout(table, root, size)
    with scratch(disk) as folder:
        rest, filesystem = folder / "rest", folder / "filesystem"
        copy_parts(disk, rest, layout.moves)
        if not cut_out(disk, root.runs, layout.place):
            copy_parts(disk, filesystem, [Move(layout.place, 0, root.size)])
            os.truncate(filesystem, root.size)
            os.truncate(disk, 0)
        image = filesystem if filesystem.exists() else disk
        enlarge_filesystem(image, size)
        put_back(disk, image, layout, size)
        copy_parts(rest, disk, layout.moves)
    write_tables(disk, table, None, layout)


def _layout(table: Table, root: Root, size: int) -> Layout:
    larger = replace(root.partition, size=size)
    partitions = tuple(larger if each.number == larger.number else each for each in table.partitions)
    end = larger.end + (MIB if table.label == "gpt" else 0)  # its second header
    return Layout(partitions, None, -(-end // MIB) * MIB, larger.start, (Move(0, 0, larger.start),), larger.start, 0)
