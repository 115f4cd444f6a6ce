"""Random access to a disk: what a machine would read from it, zeros where there is no data."""

from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable
from itertools import accumulate
from typing import TypeAlias

from provision.disks.extents import Disk, Extent, Packing
from provision.disks.unpack import content
from provision.disks.window import Window
from provision.errors import InvalidInputError

Pread: TypeAlias = Callable[[int, int], bytes]  # the bytes at (offset, length)

PIECE = 2**16  # bytes of stored data that are read and kept at once
KEPT = 2**23  # bytes of content kept for the next read
LARGEST = 2**26  # bytes of one read


class View:
    """A disk that can be read anywhere. `size` in bytes; `data` bytes of it are in the source, the rest is zeros.

    Making it is a pass over the disk's maps; a place of the disk is 36 bytes of memory, whatever its size.
    """

    def __init__(self, disk: Disk) -> None:
        self.size, self.data = disk.size, 0
        self._windows: list[Window] = []
        self._offsets, self._lengths, self._places, self._sizes = (array("Q") for _ in range(4))
        self._kinds = array("H")  # which window and which packing
        self._wholes: dict[int, int] = {}  # of the few extents that reach beyond the disk's end
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._held = 0
        for extent in disk.extents():
            self._add(extent)
        self._sort()

    def pread(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`. Raises InvalidInputError if the disk ends before."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise InvalidInputError(f"{length} bytes at byte {offset} of the disk are wanted; it ends at {self.size}.")
        if length > LARGEST:
            raise InvalidInputError(f"{length} bytes at byte {offset} of the disk are wanted at once: too many.")
        read, end = bytearray(length), offset + length
        number = max(bisect_right(self._offsets, offset) - 1, 0)
        while number < len(self._offsets) and self._offsets[number] < end:
            start = max(offset, self._offsets[number])
            stop = min(end, self._offsets[number] + self._lengths[number])
            while start < stop:
                chunk, base = self._chunk(number, start)
                taken = chunk[start - base : stop - base]
                read[start - offset : start - offset + len(taken)] = taken
                start += len(taken)
            number += 1
        return bytes(read)

    def part(self, *runs: tuple[int, int]) -> Pread:
        """`pread` for what the runs (start, size) of the disk are together: a partition, or a volume in pieces."""
        starts = [0, *accumulate(size for _, size in runs)]

        def pread(offset: int, length: int) -> bytes:
            if offset < 0 or offset + length > starts[-1]:
                raise InvalidInputError(
                    f"{length} bytes at byte {offset} of a partition are wanted; it has {starts[-1]}."
                )
            read, number = b"", bisect_right(starts, offset) - 1
            while length:
                start, size = runs[number]
                skipped = offset - starts[number]
                taken = self.pread(start + skipped, min(length, size - skipped))
                read, offset, length, number = read + taken, offset + len(taken), length - len(taken), number + 1
            return read

        return pread

    def _add(self, extent: Extent) -> None:
        if not self._windows or self._windows[-1] is not extent.window:
            self._windows.append(extent.window)
        for column, value in (
            (self._offsets, extent.offset),
            (self._lengths, extent.length),
            (self._places, extent.place),
            (self._sizes, extent.size),
        ):
            column.append(value)
        self._kinds.append((len(self._windows) - 1) * len(_PACKINGS) + _PACKINGS.index(extent.packing))
        if extent.whole > extent.length:
            self._wholes[extent.offset] = extent.whole
        self.data += extent.length

    def _sort(self) -> None:
        """By offset; most sources have them in that order already."""
        if all(self._offsets[n] < self._offsets[n + 1] for n in range(len(self._offsets) - 1)):
            return
        order = sorted(range(len(self._offsets)), key=self._offsets.__getitem__)
        for column in (self._offsets, self._lengths, self._places, self._sizes, self._kinds):
            column[:] = array(column.typecode, (column[number] for number in order))

    def _chunk(self, number: int, offset: int) -> tuple[bytes, int]:
        """Content of the extent `number` that holds `offset`, and where on the disk it begins."""
        extent = self._extent(number)
        if extent.packing is not Packing.STORED:
            return self._remembered((number, 0), extent), extent.offset
        skipped = (offset - extent.offset) // PIECE * PIECE
        piece = extent.part(skipped, min(skipped + PIECE, extent.length))
        return self._remembered((number, skipped), piece), piece.offset

    def _extent(self, number: int) -> Extent:
        window, packing = divmod(self._kinds[number], len(_PACKINGS))
        columns = (self._offsets, self._lengths, self._places, self._sizes)
        offset, length, place, size = (column[number] for column in columns)
        whole = self._wholes.get(offset, 0)
        return Extent(offset, length, self._windows[window], place, size, _PACKINGS[packing], whole)

    def _remembered(self, key: tuple[int, int], extent: Extent) -> bytes:
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        chunk = self._kept[key] = bytes(content(extent))
        self._held += len(chunk)
        while self._held > KEPT and len(self._kept) > 1:
            self._held -= len(self._kept.popitem(last=False)[1])
        return chunk


_PACKINGS = tuple(Packing)
