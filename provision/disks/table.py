"""The partition table of a raw disk file, read and written by sfdisk."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from provision.errors import CommandError, InvalidInputError
from provision.process import run

SECTOR = 512


@dataclass(frozen=True)
class Partition:
    """One partition. `start` and `size` in bytes."""

    number: int
    start: int
    size: int


@dataclass(frozen=True)
class Table:
    """A partition table: `script` is sfdisk's own dump of it."""

    label: str
    partitions: tuple[Partition, ...]
    script: str

    @property
    def last(self) -> Partition:
        """The partition that ends last."""
        return max(self.partitions, key=lambda partition: partition.start)


def read_table(disk: Path) -> Table:
    """The partition table of `disk`. Raises InvalidInputError if there is none."""
    try:
        found = json.loads(run(["sfdisk", "--json", disk], deadline=60).stdout)["partitiontable"]
        script = run(["sfdisk", "--dump", disk], deadline=60).stdout
    except CommandError as exc:
        raise InvalidInputError(f"{disk} has no partition table that sfdisk can read.") from exc
    partitions = tuple(
        Partition(int(re.findall(r"\d+$", part["node"])[0]), part["start"] * SECTOR, part["size"] * SECTOR)
        for part in found.get("partitions", ())
    )
    if not partitions:
        raise InvalidInputError(f"{disk} has a partition table without partitions.")
    return Table(found["label"], partitions, script)


def write_table(disk: Path, table: Table, *, last_size: int) -> None:
    """Write `table` to `disk` with its last partition `last_size` bytes long; boot code and identifiers are kept."""
    start = table.last.start // SECTOR
    resized = rf"\g<1>{last_size // SECTOR}"
    script = re.sub(rf"(start= *{start}, *size= *)\d+", resized, re.sub(r"last-lba:.*\n", "", table.script))
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", disk], stdin=script, deadline=60)
