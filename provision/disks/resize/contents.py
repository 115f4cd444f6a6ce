"""What each partition and logical volume of a raw disk file holds, told by blkid."""

from pathlib import Path

from provision.disks.inside.lvm import LINEAR, Readable, Run, read_volumes
from provision.disks.resize.layout import EMPTY, EXTENDED, LVM, Content
from provision.disks.resize.sparse import data_runs
from provision.disks.resize.table import Partition, Table
from provision.disks.window import opened_file
from provision.process import run

UNKNOWN = "data of an unknown kind"
_AMBIGUOUS = 8  # blkid(8)


def read_contents(disk: Path, table: Table) -> dict[int, Content]:
    """The content of each partition by its number. Raises InvalidInputError if LVM's metadata makes no sense."""
    with opened_file(disk) as window:
        return {each.number: _content(disk, window, window.file, table, each) for each in table.partitions}


def _content(disk: Path, readable: Readable, file: int, table: Table, partition: Partition) -> Content:
    if table.is_extended(partition):
        return Content(EXTENDED)
    kind = _kind(disk, file, Run(partition.start, partition.size))
    if kind != LVM:
        return Content(kind)
    group = read_volumes(readable, partition.start, partition.size)
    linear = [each for each in group.volumes if each.kind == LINEAR and each.runs]
    return Content(kind, group, {each.name: _kind(disk, file, each.runs[0]) for each in linear})


def _kind(disk: Path, file: int, place: Run) -> str:
    """What blkid says of a place; a filesystem tells what it is at its beginning."""
    where = ["--offset", str(place.place), "--size", str(place.size)]
    found = run(["blkid", "--probe", "--output", "export", *where, disk], deadline=60, check=False)
    fields = dict(line.split("=", 1) for line in found.stdout.splitlines() if "=" in line)
    if found.returncode == _AMBIGUOUS:
        return "marks of more than one filesystem"
    empty = not any(data_runs(file, place.place, place.place + place.size))
    return fields.get("TYPE") or (EMPTY if empty else UNKNOWN)
