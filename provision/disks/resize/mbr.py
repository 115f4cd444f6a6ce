"""MBR partition tables, moved: sfdisk refuses logical partitions whose own tables lie closer than it would put them."""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from provision.disks.extents import SECTOR
from provision.errors import InvalidInputError

_EXTENDED = (0x05, 0x0F, 0x85)
_ENTRIES, _ENTRY = (
    446,
    struct.Struct("<B3sB3sII"),
)  # status, CHS of the first sector, type, CHS of the last, LBA, sectors
_MOST = 128  # tables in a chain
_HEADS, _TRACK = 255, 63  # the geometry that every BIOS pretends for disks of this size


@dataclass(frozen=True)
class Sector:
    """A table at byte `place` of a disk: the MBR's, or one in the chain before the logical partitions."""

    place: int
    content: bytes


def read_tables(disk: Path) -> tuple[Sector, ...]:
    """The MBR and the tables of the logical partitions. Raises InvalidInputError if their chain has no end."""
    with disk.open("rb") as stream:

        def read(place: int) -> Sector:
            stream.seek(place)
            return Sector(place, stream.read(SECTOR))

        tables = [read(0)]
        chain = [start for kind, start, _ in _entries(tables[0]) if kind in _EXTENDED]
        base = chain[0] if chain else 0
        while chain:
            tables.append(read(chain[0]))
            if len(tables) > _MOST or len(tables[-1].content) < SECTOR:
                raise InvalidInputError(f"The chain of logical partitions is broken at byte {chain[0]} of the disk.")
            chain = [base + start for kind, start, _ in _entries(tables[-1]) if kind in _EXTENDED]
    return tuple(tables)


def _entries(table: Sector) -> Iterator[tuple[int, int, int]]:
    """Kind, start and size of what a table lists; in bytes, counted from where that kind of entry counts."""
    for number in range(4):
        _, _, kind, _, start, size = _ENTRY.unpack_from(table.content, _ENTRIES + number * _ENTRY.size)
        if kind and size:
            yield kind, start * SECTOR, size * SECTOR


def moved_tables(
    tables: tuple[Sector, ...], moved: Callable[[int], int], sizes: Mapping[int, int]
) -> tuple[Sector, ...]:
    """The tables with each byte at `moved` of its place; `sizes` has the partitions' bytes by their new beginnings."""
    base = next((table.place for table in tables[1:]), 0)
    spans = {}  # of what leads to a table: from there to the end of the table's own partition
    for table in tables[1:]:
        goals = [moved(table.place + start) for kind, start, _ in _entries(table) if kind not in _EXTENDED]
        spans[moved(table.place)] = max((goal + sizes.get(goal, 0) for goal in goals), default=0) - moved(table.place)
    return tuple(_moved(table, base, moved, sizes, spans) for table in tables)


def _moved(
    table: Sector, base: int, moved: Callable[[int], int], sizes: Mapping[int, int], spans: Mapping[int, int]
) -> Sector:
    """Entries count from their own table, but those that lead to the next one count from the first of the chain."""
    content, place = bytearray(table.content), moved(table.place)
    for number in range(4):
        at = _ENTRIES + number * _ENTRY.size
        status, _, kind, _, start, sectors = _ENTRY.unpack_from(content, at)
        if not kind or not sectors:
            continue
        link = table.place and kind in _EXTENDED
        goal = moved((base if link else table.place) + start * SECTOR)
        first = (goal - (moved(base) if link else place)) // SECTOR
        sectors = (spans if link else sizes).get(goal, sectors * SECTOR) // SECTOR
        _ENTRY.pack_into(content, at, status, _chs(goal), kind, _chs(goal + (sectors - 1) * SECTOR), first, sectors)
    return Sector(place, bytes(content))


def _chs(place: int) -> bytes:
    """Cylinder, head and sector of a byte as a table has them; those too far away all look alike."""
    cylinder, rest = divmod(place // SECTOR, _HEADS * _TRACK)
    if cylinder > 1023:
        return b"\xfe\xff\xff"
    return bytes((rest // _TRACK, rest % _TRACK + 1 | cylinder >> 2 & 0xC0, cylinder & 0xFF))


def write_tables(disk: Path, tables: tuple[Sector, ...]) -> None:
    """Write the tables to their places."""
    with disk.open("r+b") as stream:
        for table in tables:
            stream.seek(table.place)
            stream.write(table.content)
