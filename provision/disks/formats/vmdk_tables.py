"""The header of a sparse VMDK, and its grain tables (VMware, "Virtual Disk Format 5.0", "Hosted Sparse Extents")."""

import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from provision.disks.extents import LARGEST, SECTOR, apart
from provision.disks.window import AGAIN, Window
from provision.errors import InvalidInputError

MAGIC = b"KDMV"
ENTRIES = 512  # of a grain table; every writer's
TABLE = ENTRIES * 4
EMPTY = bytes(TABLE)
AT_END = 2**64 - 1  # a grain directory's place: see the footer
PACKED = 1 << 16  # a flag; the grains are
USED = 2**16  # grain tables with something in them: those of 2 TiB, where a VMDK ends that has markers
_MARKERS = 1 << 17  # a flag
_GRAINS = {2**power for power in range(3, 13)}  # sectors: 4 KiB, the specification's least, to qcow2's largest cluster
_TABLES = 2**21  # of a disk of 64 TiB with the usual grain of 64 KiB
_DIRECTORY_STEP = 2**16  # bytes of a grain directory read at once


@dataclass(frozen=True)
class Header:
    """A sparse extent's header; places in bytes, `capacity` and `grain` in sectors."""

    flags: int
    capacity: int
    grain: int
    descriptor: int
    descriptor_size: int
    directory: int
    overhead: int

    @property
    def tables(self) -> int:
        """How many grain tables there are."""
        return -(-self.capacity // (self.grain * ENTRIES))


def read_header(window: Window, place: int = 0) -> Header:
    """The header, or the footer, at `place`."""
    head = window.pread(place, SECTOR)
    (version, flags, capacity, grain, text, text_size, per_table, _, directory, overhead) = struct.unpack_from(
        "<II4QI3Q", head, 4
    )
    packing = struct.unpack_from("<H", head, 77)[0]
    reasons = {
        "no VMDK begins here": head[:4] != MAGIC,
        f"version {version} is not known": version not in (1, 2, 3),
        "it was mangled by a copy as text": head[73:77] != b"\n \r\n",
        f"a capacity of {capacity} sectors is no disk's": capacity * SECTOR > LARGEST,
        f"a grain of {grain} sectors is none": grain not in _GRAINS,
        f"{capacity} sectors in grains of {grain} are too many": capacity > _TABLES * ENTRIES * grain,
        f"a grain table of {per_table} entries is not known": per_table != ENTRIES,
        f"a descriptor of {text_size} sectors is none": text_size > 2048,
        f"compression {packing} is not known": packing != (1 if flags & PACKED else 0),
        "compressed grains without markers are not known": bool(flags & PACKED) and not flags & _MARKERS,
    }
    for reason, true in reasons.items():
        if true:
            raise wrong(window, place, reason)
    places = (text * SECTOR, text_size * SECTOR, directory if directory == AT_END else directory * SECTOR)
    return Header(flags, capacity, grain, *places, overhead * SECTOR)


def wrong(window: Window, place: int, what: str) -> InvalidInputError:
    """The error for a VMDK that is wrong at byte `place`."""
    return InvalidInputError(f"{window.name} is no sound VMDK: {what} (byte {place}).", hint=AGAIN)


def numbers(content: bytes) -> "array[int]":
    """The little-endian numbers of 32 bits in `content`."""
    found = array("I", content)
    if sys.byteorder == "big":
        found.byteswap()
    return found


def listed(window: Window, header: Header) -> Iterator[tuple[int, int, bytes]]:
    """The grain tables that are not empty, in the order of the file: their number, their place, their content."""
    runs: list[tuple[int, int, int]] = []
    for start in range(0, header.tables * 4, _DIRECTORY_STEP):
        place = header.directory + start
        directory = numbers(window.pread(place, min(_DIRECTORY_STEP, header.tables * 4 - start)))
        runs.extend((sector, start // 4 + number, count) for number, sector, count in _runs(directory))
        if len(runs) > USED:
            raise wrong(window, place, f"its grain tables are in more than {USED} places")
    runs.sort()
    apart(window, ((place, count * TABLE) for place, _, count in runs))
    for place, number, count in runs:
        content = window.pread(place, count * TABLE)
        if content.count(0) == len(content):
            continue
        for step in range(count):
            table = content[step * TABLE : (step + 1) * TABLE]
            if table != EMPTY:
                yield number + step, place + step * TABLE, table


def _runs(directory: "array[int]") -> Iterator[tuple[int, int, int]]:
    """Tables that follow each other in directory and file, at most 512 (1 MiB): the first's number and place, count."""
    start = 0
    while start < len(directory):
        end, sector = start + 1, directory[start]
        last = min(len(directory), start + 512)
        while end < last and directory[end] == sector + (end - start) * (TABLE // SECTOR):
            end += 1
        if sector:
            yield start, sector * SECTOR, end - start
        start = end
