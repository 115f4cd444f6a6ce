"""Writing a disk as qcow2 v3 in one forward pass: its data wrapped as they are, or packed anew.

A streamOptimized VMDK's grain is a zlib stream, a qcow2's compressed cluster a deflate stream: the VMDK's bytes can
stand in a qcow2 as they are, with tables that point behind each grain's marker and zlib header. QEMU inflates a cluster
with a window of 4 KiB where the grain's may be 32; that works because it inflates a whole cluster into one buffer.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from provision.disks.extents import Disk, Extent, Packing, watched
from provision.disks.formats.raw import read_raw
from provision.disks.pipeline import Read, batches, pieces, put, worked
from provision.disks.unpack import Buffer, squeeze, unpacked
from provision.disks.window import FileWindow, Window
from provision.disks.writers.qcow2_tables import Tables
from provision.disks.writers.raw import STEP, share

BITS = 16  # a cluster of 64 KiB, as qemu-img makes them
_ZLIB_HEAD, _ZLIB_TAIL = 2, 4  # bytes around the deflate stream

Cluster = tuple[int, Buffer]  # its number on the disk, and its content as it will lie in the file


@dataclass(frozen=True)
class Encoding:
    """How a disk becomes a qcow2: `wrap` its grains as they are, or pack each cluster with `packing`.

    `verify` inflates every grain that is wrapped; `changed` is a raw file that the disk has become since (shrunk).
    """

    packing: Packing = Packing.ZSTD
    wrap: bool = False
    verify: bool = True
    changed: FileWindow | None = None


def encoding(disk: Disk, packing: Packing | None = None, *, verify: bool = True) -> Encoding:
    """How to encode `disk`: with `packing`; if that is None, wrapped where it can be, else with zstd."""
    return Encoding(packing or Packing.ZSTD, wrap=packing is None and disk.window is not None, verify=verify)


@dataclass(frozen=True)
class Stream:
    """A qcow2 to be sent: its exact `size` in bytes, and its `chunks()`, from the beginning at each call."""

    size: int
    chunks: Callable[[], Iterator[bytes]]


def write_qcow2(disk: Disk, file: int, how: Encoding) -> None:
    """Write `disk` to the empty `file`."""
    tables = _tables(disk, how)
    window = disk.window if how.wrap and not how.changed else None
    if window and window.file is not None and _is_dense(window, window.file):
        end = _shared(disk, window, window.file, file, tables, verify=how.verify)
    else:
        end = _put(file, _data(disk, tables, how), tables.cluster)
    finish = tables.finish(end)
    for part in finish.tail():
        end += put(file, [part], end)
    put(file, [finish.head], 0)


def _is_dense(window: Window, source: int) -> bool:
    """True if the source has no holes, which a copy of it would fill: a small VMDK in a file of 1 TiB is one."""
    return os.fstat(source).st_blocks * 512 >= window.size


def _put(file: int, lots: Iterator[list[Buffer]], place: int) -> int:
    """Write the lots one behind the other from byte `place` on; where they end."""
    for buffers in lots:
        place += put(file, buffers, place)
    return place


def stream_qcow2(disk: Disk, how: Encoding, on_bytes: Callable[[int, int], None] = lambda *_: None) -> Stream:
    """The qcow2 of `disk` as a stream; a first pass over the source, shown by `on_bytes`, finds out how long it is."""
    tables = _tables(disk, how)
    end = tables.cluster
    for buffers in _data(watched(disk, on_bytes), tables, replace(how, verify=False)):
        end += sum(map(len, buffers))
    finish = tables.finish(end)

    def chunks() -> Iterator[bytes]:
        yield finish.head
        for buffers in _data(disk, _tables(disk, how), how):
            yield b"".join(buffers)
        yield from finish.tail()

    return Stream(finish.size, chunks)


def _tables(disk: Disk, how: Encoding) -> Tables:
    size = how.changed.size if how.changed else disk.size
    if how.wrap:
        return Tables(size, disk.unit.bit_length() - 1, Packing.DEFLATE)
    return Tables(size, BITS, how.packing)


def _shared(disk: Disk, window: Window, source: int, file: int, tables: Tables, *, verify: bool) -> int:
    """Have the kernel copy the whole VMDK into the file, while its grains are noted and verified; where the data end.

    That is as quick as cp, and on XFS and btrfs the two files then share their blocks.
    """
    odd: list[Extent] = []
    whole = Extent(tables.cluster, window.size, window, 0, window.size)
    pool = ThreadPoolExecutor(1)
    try:
        copying = pool.map(lambda piece: share(piece, source, file), pieces([whole], STEP))
        lots = batches(disk.extents(), 1)
        for lot in worked(_verified, lots) if verify else lots:
            for extent in lot:
                if extent.length < tables.cluster:
                    odd.append(extent)
                else:
                    place = tables.cluster + extent.place + _ZLIB_HEAD
                    tables.packed(extent.offset >> tables.bits, place, extent.size - _ZLIB_HEAD - _ZLIB_TAIL)
        list(copying)  # raises what a copy raised
    finally:
        pool.shutdown(cancel_futures=True)
    end = tables.cluster + window.size + -window.size % tables.cluster
    rest = replace(disk, extents=lambda: iter(odd))
    return _put(file, _laid(_packed(rest, tables, tables.packing), tables, end), end)


def _verified(lot: list[Read]) -> list[Extent]:
    for extent, packed in lot:
        unpacked(extent, packed)
    return [extent for extent, _ in lot]


def _data(disk: Disk, tables: Tables, how: Encoding) -> Iterator[list[Buffer]]:
    """What lies between header and tables, noted in `tables`: whole clusters in all."""
    if how.wrap:
        lots = _wrapped(disk, tables, how)
    else:
        lots = _packed(read_raw(how.changed) if how.changed else disk, tables, how.packing)
    return _laid(lots, tables, tables.cluster)


def _laid(lots: Iterator[list[Cluster]], tables: Tables, place: int) -> Iterator[list[Buffer]]:
    """The clusters one behind the other from byte `place` of the file on, noted in `tables`, and padding."""
    for clusters in lots:
        for number, content in clusters:
            if tables.packing is Packing.STORED:
                tables.stored(number, place)
            else:
                tables.packed(number, place, len(content))
            place += len(content)
        yield [content for _, content in clusters]
    yield [bytes(-place % tables.cluster)]


def _wrapped(disk: Disk, tables: Tables, how: Encoding) -> Iterator[list[Cluster]]:
    """The grains as they are; then what has changed since, or fills no cluster, packed."""
    odd: list[Extent] = []

    def lots() -> Iterator[list[Extent]]:
        for batch in batches(disk.extents(), 1):
            odd.extend(extent for extent in batch if extent.length < tables.cluster)
            if whole := [extent for extent in batch if extent.length == tables.cluster]:
                yield whole

    def wrap(lot: list[Read]) -> list[Cluster]:
        return [
            (extent.offset >> tables.bits, packed[_ZLIB_HEAD:-_ZLIB_TAIL])
            for extent, packed in lot
            if not (how.verify or how.changed) or _stands(extent, packed, how.changed)
        ]

    yield from worked(wrap, lots())
    rest = read_raw(how.changed) if how.changed else replace(disk, extents=lambda: iter(odd))
    yield from _packed(rest, tables, tables.packing)


def _stands(extent: Extent, packed: Buffer, changed: FileWindow | None) -> bool:
    """Verify a grain: that it inflates to its size with the right sum; True if the disk still has it like that."""
    content = unpacked(extent, packed)
    if not changed:
        return True
    return extent.offset + extent.length <= changed.size and changed.pread(extent.offset, extent.length) == content


def _packed(disk: Disk, tables: Tables, packing: Packing) -> Iterator[list[Cluster]]:
    """The clusters of `disk` that `tables` lacks, packed."""
    extents = disk.extents() if disk.unit % tables.cluster == 0 else iter(sorted(disk.extents(), key=_offset))
    return worked(lambda lot: _pack(lot, tables, packing), batches(extents, tables.cluster))


def _offset(extent: Extent) -> int:
    return extent.offset


def _pack(lot: list[Read], tables: Tables, packing: Packing) -> list[Cluster]:
    """The clusters of a lot that `tables` lacks, without those that are all zeros."""
    clusters: dict[int, Buffer] = {}
    for extent, packed in lot:
        content = memoryview(unpacked(extent, packed))
        begin = extent.offset
        while begin < extent.offset + extent.length:
            cluster, skip = divmod(begin, tables.cluster)
            part = content[begin - extent.offset : begin - extent.offset + tables.cluster - skip]
            if len(part) == tables.cluster:
                clusters[cluster] = part
            else:
                whole = memoryview(clusters.setdefault(cluster, bytearray(tables.cluster)))
                whole[skip : skip + len(part)] = part
            begin += len(part)
    nothing = bytes(tables.cluster)
    kept = [(number, content) for number, content in clusters.items() if number not in tables and content != nothing]
    return kept if packing is Packing.STORED else [(number, squeeze(packing, content)) for number, content in kept]
