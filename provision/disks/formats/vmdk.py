"""VMDK files that hold their own data: monolithicSparse and streamOptimized (VMware, "Virtual Disk Format 5.0")."""

import struct
from array import array
from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b
from heapq import merge

from provision.disks.extents import SECTOR, Disk, Extent, Packing, apart
from provision.disks.formats.descriptor import COPY, parse
from provision.disks.formats.maps import PIECES
from provision.disks.formats.vmdk_tables import (
    AT_END,
    EMPTY,
    ENTRIES,
    PACKED,
    TABLE,
    USED,
    Header,
    listed,
    numbers,
    read_header,
    wrong,
)
from provision.disks.window import Window
from provision.errors import InvalidInputError

_ZEROED = 1 << 2  # a flag: an entry of 1 is a grain of zeros


def read_vmdk(window: Window) -> Disk:
    """The disk in a VMDK that is one file."""
    header = read_header(window)
    text = window.pread(header.descriptor, header.descriptor_size).split(b"\0")[0]
    found = parse(text.decode(errors="replace"), window.name)
    kind = found.create_type
    if kind not in ("monolithicSparse", "streamOptimized") or len(found.extents) != 1:
        raise InvalidInputError(
            f"{window.name} (byte {header.descriptor}) is a {kind[:40]!r} of {len(found.extents)} extents.",
            hint="Fetch all its files, and name the one that is a short text.",
        )
    # VirtualBox rounds the capacity in the header up to whole grains; the descriptor has the disk's own.
    sectors, extra = found.extents[0].sectors, header.capacity - found.extents[0].sectors
    if found.extents[0].kind != "SPARSE" or not 0 <= extra < header.grain - (sectors - 1) % header.grain:
        raise wrong(window, header.descriptor, "its descriptor and its header do not say the same")
    if header.flags & PACKED:
        return _stream(window, header, sectors * SECTOR)
    return _sparse(window, replace(header, capacity=sectors), "VMDK monolithicSparse")


def read_sparse(window: Window, form: str) -> Disk:
    """One sparse extent of a disk that is several files; `form` is what the disk is called."""
    header = read_header(window)
    if header.flags & PACKED:
        raise wrong(window, 8, "it is compressed")
    return _sparse(window, header, form)


def _sparse(window: Window, header: Header, form: str) -> Disk:
    if header.directory == AT_END:
        raise wrong(window, 56, "it has no grain directory")

    def extents() -> Iterator[Extent]:
        runs = _Runs(window, header)
        taken = [(0, SECTOR), (header.descriptor, header.descriptor_size), (header.directory, header.tables * 4)]
        for number, place, table in listed(window, header):
            taken.append((place, TABLE))
            runs.add(number * ENTRIES, numbers(table), place)
        apart(window, merge(sorted(taken), ((place, length) for place, _, length in runs.sorted())))
        for place, offset, length in runs.sorted():
            yield Extent(offset, length, window, place, length)

    return Disk(form, header.capacity * SECTOR, window.size, extents, header.grain * SECTOR)


class _Runs:
    """Grains that follow each other in disk and file."""

    def __init__(self, window: Window, header: Header) -> None:
        self.window, self.grain, self.size = window, header.grain * SECTOR, header.capacity * SECTOR
        self.least = 2 if header.flags & _ZEROED else 1  # the smallest entry that is a place
        self.found: list[int] = []  # where a run begins, with which grain, and how many, in one number each

    def sorted(self) -> Iterator[tuple[int, int, int]]:
        """The runs in the order of the file: place, offset and length in bytes."""
        self.found.sort()
        for run in self.found:
            offset = (run >> 32 & 2**32 - 1) * self.grain
            yield (run >> 64) * SECTOR, offset, min((run & 2**32 - 1) * self.grain, self.size - offset)

    def add(self, first: int, table: "array[int]", place: int) -> None:
        """Add the grains of the table at `place`, whose first is grain `first` of the disk."""
        start = begin = count = 0
        for number, sector in enumerate(table, first):
            if sector < self.least:
                continue
            if sector * SECTOR >= self.window.size or number * self.grain >= self.size:
                raise wrong(self.window, place + 4 * (number - first), f"grain {number} is outside of it")
            if count and sector == start + count * (self.grain // SECTOR) and number == begin + count:
                count += 1
                continue
            self._found(start, begin, count)
            start, begin, count = sector, number, 1
        self._found(start, begin, count)
        if len(self.found) > PIECES:
            raise InvalidInputError(f"{self.window.name} is in more than {PIECES} pieces (byte {place}).", hint=COPY)

    def _found(self, start: int, begin: int, count: int) -> None:
        if count:
            self.found.append((start << 32 | begin) << 32 | count)


def _stream(window: Window, header: Header, size: int) -> Disk:
    unit = header.grain * SECTOR
    if header.overhead > window.size:
        raise wrong(window, 64, f"its grains are said to begin at byte {header.overhead}")
    return Disk("VMDK streamOptimized", size, window.size, lambda: _Walk(window, header, size).extents(), unit, window)


def _sum(table: bytes) -> bytes:
    return blake2b(table, digest_size=16).digest()


_NOTHING = _sum(EMPTY)


class _Walk:
    """One pass over the markers of a streamOptimized VMDK, and then the check that its tables say the same.

    VirtualBox writes tables, directory and footer behind the grains, each behind a marker; qemu-img in front, without.
    """

    def __init__(self, window: Window, header: Header, size: int) -> None:
        self.window, self.header, self.size = window, header, size
        self.seen: dict[int, array[int]] = {}  # of each grain table the entries and the places that it should have
        self.kept: dict[int, bytes] = {}  # the sums of the grain tables that were passed, by their place
        self.footer: int | None = None
        self.most = header.grain * SECTOR * 65 // 64 + 64  # bytes of a packed grain: what zlib makes of noise, and more

    def extents(self) -> Iterator[Extent]:
        window, place, end = self.window, self.header.overhead, self.window.size
        marker, grain = struct.Struct("<QII"), self.header.grain * SECTOR
        while place < end:
            number, packed, kind = marker.unpack(window.pread(place, 16))
            if packed:
                offset = self._note(number, packed, place)
                length = min(grain, self.size - offset)
                yield Extent(offset, length, window, place + 12, packed, Packing.ZLIB, grain)
                place += (12 + packed + SECTOR - 1) // SECTOR * SECTOR
            elif not kind and not number:
                break
            else:
                place = self._pass(number, kind, place)
        self._check(place)

    def _note(self, sector: int, packed: int, place: int) -> int:
        """Note a grain; where in the disk it belongs, in bytes."""
        header = self.header
        if sector >= header.capacity or sector % header.grain or not 8 <= packed <= self.most:
            raise wrong(self.window, place, "a grain's marker is out of bounds")
        if packed * 1040 < min(header.grain, self.size // SECTOR - sector) * SECTOR:  # deflate packs 1032 bytes into 1
            raise wrong(self.window, place, f"{packed} bytes are too few for a grain")
        if place + 12 + packed > self.window.size:
            raise wrong(self.window, place, "it is cut off in the grain that begins here")
        table, entry = divmod(sector // header.grain, ENTRIES)
        noted = self.seen.get(table)
        if noted is None:
            noted = self.seen[table] = array("I")
        if len(self.seen) > USED:
            raise wrong(self.window, place, f"more than {USED} grain tables are in use")
        if noted and entry <= noted[-2] and entry in noted[::2]:
            raise wrong(self.window, place, f"grain {sector // header.grain} is there twice")
        if place // SECTOR >= 2**32:
            raise wrong(self.window, place, "a grain lies beyond 2 TiB")
        noted.extend((entry, place // SECTOR))
        return sector * SECTOR

    def _pass(self, sectors: int, kind: int, place: int) -> int:
        """Go past what is no grain: a table (1), a directory (2), a footer (3); the next marker's place."""
        if kind not in (1, 2, 3) or sectors > self.window.size // SECTOR:
            raise wrong(self.window, place, "a marker is of no known kind")
        content = place + SECTOR
        if kind == 1:
            if sectors * SECTOR != TABLE or len(self.kept) >= self.header.tables:
                raise wrong(self.window, place, "a grain table is of the wrong size, or there are too many")
            self.kept[content] = _sum(self.window.pread(content, TABLE))
        elif kind == 3:
            self.footer = content
        return content + sectors * SECTOR

    def _check(self, end: int) -> None:
        """The grain directory and its tables must name exactly the grains that were passed."""
        header, window = self._footer(end), self.window
        checked = 0
        for number, place, table in self._listed(header):
            if number not in self.seen or self._sum_of(number) != table:
                raise wrong(window, place, f"grain table {number} and the grains' markers do not say the same")
            checked += 1
        if checked != len(self.seen):
            raise wrong(window, header.directory, "its grain directory leaves out grains that are there")

    def _sum_of(self, number: int) -> bytes:
        table, noted = array("I", EMPTY), self.seen[number]
        for entry, place in zip(noted[::2], noted[1::2], strict=True):
            table[entry] = place
        return _sum(numbers(table.tobytes()).tobytes())

    def _listed(self, header: Header) -> Iterator[tuple[int, int, bytes]]:
        """The grain tables that are not empty: their number, their place, their sum."""
        if header is self.header:
            yield from ((number, place, _sum(table)) for number, place, table in listed(self.window, header))
            return
        directory = numbers(self.window.pread(header.directory, header.tables * 4))
        for number, sector in enumerate(directory):
            table = self.kept.get(sector * SECTOR)
            if sector and table is None:
                raise wrong(self.window, header.directory + 4 * number, "a grain table is not where it should be")
            if table and table != _NOTHING:
                yield number, sector * SECTOR, table

    def _footer(self, end: int) -> Header:
        header = self.header
        if header.directory != AT_END:
            return header
        if self.footer is None:
            raise wrong(self.window, end, "it ends without a footer: it is cut off")
        footer = read_header(self.window, self.footer)
        if replace(footer, directory=AT_END) != header or footer.directory == AT_END:
            raise wrong(self.window, self.footer, "its footer and its header do not say the same")
        return footer
