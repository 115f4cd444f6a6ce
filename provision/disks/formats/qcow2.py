"""QEMU's disk image, versions 2 and 3. The layout is that of docs/interop/qcow2.txt in QEMU."""

import struct
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from provision.disks.extents import LARGEST, SECTOR, Disk, Extent, Packing
from provision.disks.formats.maps import PIECES, damaged, entries
from provision.disks.formats.raw import UNIT, on_disk, without_holes
from provision.disks.window import Window
from provision.errors import InvalidInputError

QCOW2_MAGIC = b"QFI\xfb"
_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
_MORE = struct.Struct(">QQQII")  # of version 3, from byte 72 on
_CLUSTER_BITS = range(9, 22)  # QEMU's own limits, as is the next
_L1_LIMIT = 2**25  # bytes
_DIRTY, _TYPED = 1, 8  # features that we know; in a dirty image only reference counts may be stale
_TYPE = 104  # where the type of compression stands
_REFUSED = {
    2: "is marked as corrupt",
    4: "keeps its data in another file",
    16: "has subclusters (extended L2 entries), which we cannot read",
}
_PACKINGS = {0: Packing.DEFLATE, 1: Packing.ZSTD}
_ZERO, _COMPRESSED, _COPIED = 1, 1 << 62, 1 << 63
_OFFSET = (1 << 56) - (1 << 9)
_TABLE = (1 << 56) - 1  # in place of a cluster's number: no part of the disk
_HINT = "Make one plain disk of it where it comes from: qemu-img convert -O qcow2."


class _Layout(NamedTuple):
    version: int
    bits: int  # the logarithm of the cluster's size
    size: int  # of the disk, in bytes
    l1: int
    l1_entries: int
    refcounts: int
    refcount_clusters: int
    snapshots: int
    packing: Packing


def read_qcow2(window: Window) -> Disk:
    """The disk in `window`, as it is now: internal snapshots are left out.

    Raises InvalidInputError if it is no sound qcow2, or not whole in itself.
    """
    layout = _layout(window)
    _check(window, layout)
    name = f"qcow2 (snapshots left out: {layout.snapshots})" if layout.snapshots else "qcow2"
    return Disk(name, layout.size, on_disk(window), partial(_extents, window, layout), min(1 << layout.bits, UNIT))


def _layout(window: Window) -> _Layout:
    magic, version, backing, _, bits, size, encryption, l1_size, l1, refcounts, clusters, snapshots, _ = _HEADER.unpack(
        window.pread(0, _HEADER.size)
    )
    if magic != QCOW2_MAGIC:
        raise damaged(window, 0, "it has not the signature of a qcow2")
    if version not in (2, 3):
        raise _refused(window, 4, f"is of version {version}, and we know 2 and 3")
    if backing:
        raise _refused(window, 8, "needs a backing file")
    if encryption:
        raise _refused(window, 32, "is encrypted")
    packing = _packing(window) if version == 3 else Packing.DEFLATE
    return _Layout(version, bits, size, l1, l1_size, refcounts, clusters, snapshots, packing)


def _packing(window: Window) -> Packing:
    """How version 3 compresses. Refuses the features that we do not know."""
    features, _, _, _, length = _MORE.unpack(window.pread(_HEADER.size, _MORE.size))
    for feature, what in _REFUSED.items():
        if features & feature:
            raise _refused(window, 72, what)
    if features & ~(_DIRTY | _TYPED):
        raise _refused(window, 72, f"has features that we do not know ({features:#x})")
    if not features & _TYPED:
        return Packing.DEFLATE
    kind = window.pread(_TYPE, 1)[0] if length > _TYPE else 0
    if kind not in _PACKINGS:
        raise _refused(window, _TYPE, f"is compressed in a way that we do not know ({kind})")
    return _PACKINGS[kind]


def _refused(window: Window, place: int, what: str) -> InvalidInputError:
    return InvalidInputError(f"{window.name} is a qcow2 disk that {what} (byte {place}).", hint=_HINT)


def _check(window: Window, layout: _Layout) -> None:
    """Refuse a header whose numbers do not fit one another or the file."""
    if layout.bits not in _CLUSTER_BITS:
        raise damaged(window, 20, f"its clusters have 2^{layout.bits} bytes")
    if layout.size % SECTOR:
        raise damaged(window, 24, f"a disk of {layout.size} bytes is no whole number of sectors")
    if layout.size > LARGEST:
        raise damaged(window, 24, f"{layout.size} bytes are more than a disk's {LARGEST}")
    if layout.l1_entries * 8 > _L1_LIMIT or layout.l1_entries < _l2_count(layout):
        raise damaged(window, 36, f"an L1 table of {layout.l1_entries} entries for a disk of {layout.size} bytes")
    if layout.l1 % (1 << layout.bits) or layout.l1 + 8 * layout.l1_entries > window.size:
        raise damaged(window, 40, f"its L1 table is said to lie at byte {layout.l1} of {window.size}")


def _l2_count(layout: _Layout) -> int:
    """How many L2 tables the disk's size asks for."""
    return -(-layout.size >> 2 * layout.bits - 3)


def _extents(window: Window, layout: _Layout) -> Iterator[Extent]:
    """The clusters in the order of the file, merged where they are neighbours in it and on the disk."""
    l2_tables = _l1(window, layout)
    runs = [
        _run(0, _TABLE, 1),
        _run(layout.l1, _TABLE, -(-layout.l1_entries * 8 >> layout.bits)),
        _run(layout.refcounts, _TABLE, layout.refcount_clusters),
        *(_run(place, _TABLE, 1) for place, _ in l2_tables),
    ]
    for place, first in l2_tables:
        runs.extend(_l2(window, layout, place, first))
        if len(runs) > PIECES:
            raise _refused(window, place, f"is in more than {PIECES} pieces")
    runs.sort()
    return without_holes(_clusters(window, layout, runs), min(1 << layout.bits, UNIT))


def _run(place: int, cluster: int, number: int, compressed: bool = False) -> int:
    """A run of `number` clusters of the disk in one integer (there are millions), which sorts by its place in the file.

    For a compressed cluster, `number` is that of its sectors.
    """
    return ((place << 1 | compressed) << 32 | number) << 56 | cluster


def _l1(window: Window, layout: _Layout) -> list[tuple[int, int]]:
    """Where each L2 table lies, in that order, and the first cluster of the disk that it tells of."""
    found: list[tuple[int, int]] = []
    for index, entry in entries(window, layout.l1, _l2_count(layout), "Q", "big"):
        if entry & ~(_COPIED | _OFFSET) or entry & _OFFSET & (1 << layout.bits) - 1:
            raise damaged(window, layout.l1 + 8 * index, f"no L1 entry ({entry:#x})")
        if place := entry & _OFFSET:
            found.append((place, index << layout.bits - 3))
        if len(found) << layout.bits > window.size:
            raise damaged(window, layout.l1 + 8 * index, "there are more L2 tables than the file has room for")
    found.sort()
    for (place, _), (after, first) in pairwise(found):
        if place == after:
            raise damaged(window, layout.l1 + 8 * (first >> layout.bits - 3), f"the L2 table at {place} is used twice")
    return found


def _l2(window: Window, layout: _Layout, table: int, first: int) -> Iterator[int]:
    """The runs of an L2 table."""
    mask, split = (1 << layout.bits) - 1, 70 - layout.bits
    reserved = ~(_COPIED | _OFFSET | (_ZERO if layout.version == 3 else 0))
    count = min(1 << layout.bits - 3, (layout.size + mask >> layout.bits) - first)
    start = cluster = number = 0
    for index, entry in entries(window, table, count, "Q", "big"):
        if entry & _COMPRESSED:
            place = entry & (1 << split) - 1
            yield _run(place, first + index, ((entry & _COMPRESSED - 1) >> split) + 1, compressed=True)
            continue
        place = entry & _OFFSET
        if entry & reserved or place & mask:
            raise damaged(window, table + 8 * index, f"no L2 entry ({entry:#x})")
        if not place or entry & _ZERO:
            continue
        if number and place == start + (number << layout.bits) and first + index == cluster + number:
            number += 1
            continue
        if number:
            yield _run(start, cluster, number)
        start, cluster, number = place, first + index, 1
    if number:
        yield _run(start, cluster, number)


def _clusters(window: Window, layout: _Layout, runs: list[int]) -> Iterator[Extent]:
    end = 0  # of the run before, as far as we know: a compressed cluster ends anywhere in its last sector
    for run in runs:
        place, compressed, number, cluster = run >> 89, run >> 88 & 1, run >> 56 & 0xFFFFFFFF, run & _TABLE
        if place < end:
            raise damaged(window, place, "what is there belongs to two clusters or tables")
        end = place + (number << layout.bits)
        if cluster == _TABLE:
            continue
        offset = cluster << layout.bits
        if compressed:
            length = min(1 << layout.bits, layout.size - offset)
            size = min(number * SECTOR - place % SECTOR, window.size - place)
            end = max(place + 1, (place + size - 1) // SECTOR * SECTOR)
            extent = Extent(offset, length, window, place, size, layout.packing, 1 << layout.bits)
        else:
            length = min(number << layout.bits, layout.size - offset)
            extent = Extent(offset, length, window, place, length)
        if extent.size <= 0 or place + extent.size > window.size:
            raise damaged(window, place, f"a cluster is said to be there, and the file ends at {window.size}")
        yield extent
