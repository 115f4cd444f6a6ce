"""What each partition and logical volume of a disk holds: of a raw file told by blkid, of a source by ourselves."""

from collections.abc import Callable
from pathlib import Path

from provision.disks.inside.filesystems import read_filesystem
from provision.disks.inside.lvm import LINEAR, Readable, Run, read_volumes
from provision.disks.inside.partitions import EXTENDED_KIND, read_partitions
from provision.disks.inside.view import View
from provision.disks.resize.layout import EMPTY, EXTENDED, LVM, Content
from provision.disks.resize.sparse import data_runs
from provision.disks.resize.table import EXTENDED as EXTENDED_TYPES
from provision.disks.resize.table import Partition, Table
from provision.disks.window import opened_file
from provision.process import run

UNKNOWN = "data of an unknown kind"
_AMBIGUOUS = 8  # blkid(8)


def read_contents(disk: Path, table: Table) -> dict[int, Content]:
    """The content of each partition by its number. Raises InvalidInputError if LVM's metadata makes no sense."""
    with opened_file(disk) as window:
        return _contents(window, table, lambda place: _kind(disk, window.file, place))


def foresee_contents(view: View) -> tuple[Table, dict[int, Content]]:
    """What `read_table` and `read_contents` will find on a disk, as far as our own readers know it: else EMPTY."""
    found = read_partitions(view)
    table = Table(
        found.label,
        view.size,
        tuple(
            Partition(
                part.number,
                part.start,
                min(part.size, view.size - part.start),
                (("type", EXTENDED_TYPES[0]),) if part.kind == EXTENDED_KIND else (),
            )
            for part in found.partitions
            if part.start < view.size
        )
        or (Partition(0, 0, view.size),),
    )
    return table, _contents(view, table, lambda place: read_filesystem(view.part(place), place.size).kind)


def _contents(readable: Readable, table: Table, kind_of: Callable[[Run], str]) -> dict[int, Content]:
    return {each.number: _content(readable, table, each, kind_of) for each in table.partitions}


def _content(readable: Readable, table: Table, partition: Partition, kind_of: Callable[[Run], str]) -> Content:
    if table.is_extended(partition):
        return Content(EXTENDED)
    kind = kind_of(Run(partition.start, partition.size))
    if kind != LVM:
        return Content(kind)
    group = read_volumes(readable, partition.start, partition.size)
    linear = [each for each in group.volumes if each.kind == LINEAR and each.runs]
    return Content(kind, group, {each.name: kind_of(each.runs[0]) for each in linear})


def _kind(disk: Path, file: int, place: Run) -> str:
    """What blkid says of a place; a filesystem tells what it is at its beginning."""
    where = ["--offset", str(place.place), "--size", str(place.size)]
    found = run(["blkid", "--probe", "--output", "export", *where, disk], deadline=60, check=False)
    fields = dict(line.split("=", 1) for line in found.stdout.splitlines() if "=" in line)
    if found.returncode == _AMBIGUOUS:
        return "marks of more than one filesystem"
    empty = not any(data_runs(file, place.place, place.place + place.size))
    return fields.get("TYPE") or (EMPTY if empty else UNKNOWN)
