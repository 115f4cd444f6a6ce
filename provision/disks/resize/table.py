"""The partition table of a raw disk file, read and checked by sfdisk."""

import json
import re
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from provision.disks.extents import SECTOR
from provision.disks.resize.mbr import Sector, moved_tables, read_tables, write_tables
from provision.errors import InvalidInputError
from provision.process import run

EXTENDED = ("5", "f", "85")
FIRST_LOGICAL = 5


@dataclass(frozen=True)
class Partition:
    """One partition. `start` and `size` in bytes; `facts` is what else the table says: type, uuid, name, flags."""

    number: int
    start: int
    size: int
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def end(self) -> int:
        """The byte behind it."""
        return self.start + self.size


@dataclass(frozen=True)
class Table:
    """A partition table. `label` is dos or gpt, or none: then the one partition, number 0, is the whole disk.

    `size` is the disk's in bytes, `identifier` the table's own; `script` is sfdisk's dump of a GPT,
    `sectors` are the tables of an MBR.
    """

    label: str
    size: int
    partitions: tuple[Partition, ...]
    identifier: str = ""
    script: str = ""
    sectors: tuple[Sector, ...] = ()

    def is_extended(self, partition: Partition) -> bool:
        """True for the container of the logical partitions."""
        return self.label == "dos" and dict(partition.facts).get("type") in EXTENDED

    def is_logical(self, partition: Partition) -> bool:
        """True for a partition in the container."""
        return self.label == "dos" and partition.number >= FIRST_LOGICAL


def read_table(disk: Path) -> Table:
    """The partition table of the raw `disk`. Raises InvalidInputError if a partition does not lie in it."""
    size = disk.stat().st_size
    listed = run(["sfdisk", "--json", disk], deadline=60, check=False)
    if listed.returncode:
        return Table("none", size, (Partition(0, 0, size),))
    found = json.loads(listed.stdout)["partitiontable"]
    partitions = tuple(map(_partition, found.get("partitions", ())))
    table = Table(found["label"], size, partitions, str(found.get("id", "")))
    _check_places(table)
    if table.label == "dos":
        return replace(table, sectors=read_tables(disk))
    return replace(table, script=run(["sfdisk", "--dump", disk], deadline=60).stdout)


def _check_places(table: Table) -> None:
    """Raise InvalidInputError unless the partitions lie on the disk, one behind the other."""
    ordered = sorted((each for each in table.partitions if not table.is_extended(each)), key=lambda each: each.start)
    for first, second in pairwise(ordered):
        if first.end > second.start:
            raise InvalidInputError(
                f"Partitions {first.number} and {second.number} of the disk overlap at byte {second.start}.",
                hint="Repair the partition table in its machine, and export the disk again.",
            )
    if ordered and ordered[-1].end > table.size:
        raise InvalidInputError(
            f"Partition {ordered[-1].number} ends at byte {ordered[-1].end}, but the disk at byte {table.size}.",
            hint="Fetch or export it again.",
        )


def _partition(part: dict[str, str | int]) -> Partition:
    number = int(re.findall(r"\d+$", str(part.pop("node")))[0])
    start, size = int(part.pop("start")) * SECTOR, int(part.pop("size")) * SECTOR
    return Partition(number, start, size, tuple((key, str(value)) for key, value in sorted(part.items())))


def write_table(disk: Path, table: Table, partitions: tuple[Partition, ...], moved: Callable[[int], int]) -> None:
    """Write `table` to `disk` with its `partitions` as they are given; boot code and identifiers are kept.

    `moved` says where any byte of the disk went, such as the tables of an MBR's logical partitions.
    """
    if table.label == "dos":
        sizes = {partition.start: partition.size for partition in partitions}
        write_tables(disk, moved_tables(table.sectors, moved, sizes))
    elif table.label == "gpt":
        _write_gpt(disk, table.script, {partition.number: partition for partition in partitions})


def _write_gpt(disk: Path, script: str, partitions: Mapping[int, Partition]) -> None:
    def placed(line: re.Match[str]) -> str:
        partition = partitions[int(line[2])]
        return f"{line[1]}{line[2]} : start={partition.start // SECTOR}, size={partition.size // SECTOR}"

    script = re.sub(r"(?m)^last-lba:.*\n", "", script)
    script = re.sub(r"(?m)^(.*?)(\d+) : start= *\d+, size= *\d+", placed, script)
    options = ["--quiet", "--no-reread", "--no-tell-kernel", "--wipe", "never", "--wipe-partitions", "never"]
    run(["sfdisk", *options, disk], stdin=script, deadline=60)


def gpt_is_sound(disk: Path) -> bool:
    """True if both of the GPT's headers, at the disk's beginning and end, and their lists have the right checksums."""
    size = disk.stat().st_size
    with disk.open("rb") as stream:
        for place, other in ((SECTOR, size - SECTOR), (size - SECTOR, SECTOR)):
            stream.seek(place)
            header = stream.read(92)
            magic, _, length, crc, own, alternate = struct.unpack_from("<8sIII4xQQ", header)
            first, count, each, listed = struct.unpack_from("<QIII", header, 72)
            stream.seek(first * SECTOR)
            right = (b"EFI PART", 92, place, other, zlib.crc32(header[:16] + bytes(4) + header[20:]))
            if (magic, length, own * SECTOR, alternate * SECTOR, crc) != right:
                return False
            if zlib.crc32(stream.read(count * each)) != listed:
                return False
    return True
