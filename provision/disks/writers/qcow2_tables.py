"""The tables of a qcow2 v3 file, gathered while its data are written before them (QEMU, docs/interop/qcow2.txt).

The file is: one cluster for the header, the data, the refcount table, the L1 table, the L2 tables, the refcount blocks.
"""

import struct
import sys
from array import array
from collections.abc import Callable, Iterator
from typing import NamedTuple

from provision.disks.extents import Packing

_COPIED, _PACKED = 1 << 63, 1 << 62
_ZSTD = 1 << 3  # incompatible feature: the compression is named
_REFCOUNT_ORDER = 4  # refcounts of 16 bits
_PART = 64  # entries of an L2 table that are kept together: of a large disk most tables are nearly empty


def _big(numbers: "array[int]") -> bytes:
    numbers = numbers[:]
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers.tobytes()


class Finish(NamedTuple):
    """The header's cluster, the size of the whole file in bytes, and everything behind the data, in parts."""

    head: bytes
    size: int
    tail: Callable[[], Iterator[bytes]]


class Tables:
    """Where each cluster of a disk of `size` bytes lies in the file. `bits` is the cluster's size as a power of two."""

    def __init__(self, size: int, bits: int, packing: Packing) -> None:
        self.size, self.bits, self.packing = size, bits, packing
        self.cluster = 1 << bits
        self.per_table = self.cluster // 8
        self.part = min(_PART, self.per_table)
        self.found: dict[int, array[int]] = {}  # the parts of L2 tables in which there is something
        self.counts = array("H", [1])  # how often each cluster of the file is used; the first is the header

    def __contains__(self, cluster: int) -> bool:
        """True if that cluster of the disk has been placed."""
        part = self.found.get(cluster // self.part)
        return bool(part and part[cluster % self.part])

    def stored(self, cluster: int, place: int) -> None:
        """Note that cluster `cluster` of the disk lies, as it is, in the cluster of the file that begins at `place`."""
        self._set(cluster, place | _COPIED)
        self._use(place, self.cluster)

    def packed(self, cluster: int, place: int, size: int) -> None:
        """Note that cluster `cluster` of the disk lies at byte `place` of the file, packed into `size` bytes."""
        shift = 62 - (self.bits - 8)
        first, last = place // 512, (place + size - 1) // 512
        self._set(cluster, _PACKED | (last - first) << shift | place)
        self._use(first * 512, (last - first + 1) * 512)

    def _set(self, cluster: int, entry: int) -> None:
        number, index = divmod(cluster, self.part)
        part = self.found.get(number)
        if part is None:
            part = self.found[number] = array("Q", bytes(8 * self.part))
        part[index] = entry

    def _use(self, place: int, size: int) -> None:
        first, last = place >> self.bits, (place + size - 1) >> self.bits
        if last >= len(self.counts):
            self.counts.extend(array("H", bytes(2 * (last + 1 - len(self.counts) + 1024))))
        for cluster in range(first, last + 1):
            self.counts[cluster] += 1

    def finish(self, end: int) -> Finish:
        """What is before and behind the data, which end at byte `end`: a cluster's beginning."""
        cluster, parts = self.cluster, self.per_table // self.part
        numbers = sorted({part // parts for part in self.found})
        entries = -(-self.size // (cluster * self.per_table)) or 1
        level1 = -(-entries * 8 // cluster)
        table, blocks = self._refcount_clusters(end // cluster + level1 + len(numbers))
        level1_place = end + table * cluster
        level2_place = level1_place + level1 * cluster
        blocks_place = level2_place + len(numbers) * cluster
        first = array("Q", bytes(level1 * cluster))
        for index, number in enumerate(numbers):
            first[number] = level2_place + index * cluster | _COPIED
        # The table and the blocks only: the list of the blocks' places, then what they say.
        places = array("Q", [blocks_place + index * cluster for index in range(blocks)])

        def tail() -> Iterator[bytes]:
            yield _big(places).ljust(table * cluster, b"\0")
            yield _big(first)
            nothing = array("Q", bytes(8 * self.part))
            for number in numbers:
                some = range(number * parts, (number + 1) * parts)
                yield b"".join(_big(self.found.get(part, nothing)) for part in some)
            yield self._refcounts(end >> self.bits, (blocks_place >> self.bits) + blocks, blocks)

        return Finish(self._header(entries, level1_place, end, table), blocks_place + blocks * cluster, tail)

    def _refcount_clusters(self, others: int) -> tuple[int, int]:
        """How many clusters the refcount table and its blocks need; they count themselves."""
        table = blocks = 1
        while True:
            needed = -(-(others + table + blocks) // (self.cluster // 2))
            if needed <= blocks and -(-blocks * 8 // self.cluster) <= table:
                return table, blocks
            blocks, table = max(blocks, needed), max(table, -(-needed * 8 // self.cluster))

    def _refcounts(self, data: int, total: int, blocks: int) -> bytes:
        counts = self.counts[:data]
        counts.extend(array("H", bytes(2 * (data - len(counts)))))
        counts.extend(array("H", [1]) * (total - data))
        return _big(counts).ljust(blocks * self.cluster, b"\0")

    def _header(self, entries: int, level1_place: int, refcount_place: int, refcount_clusters: int) -> bytes:
        zstd = self.packing is Packing.ZSTD
        fields = (3, 0, 0, self.bits, self.size, 0, entries, level1_place, refcount_place, refcount_clusters, 0, 0)
        head = b"QFI\xfb" + struct.pack(">IQIIQIIQQIIQ", *fields)
        head += struct.pack(">QQQII", _ZSTD if zstd else 0, 0, 0, _REFCOUNT_ORDER, 112)
        return (head + bytes([zstd]) + bytes(7)).ljust(self.cluster, b"\0")
