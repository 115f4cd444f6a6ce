"""Hostile VDIs and qcow2s: the formats with one map of blocks, or two levels of it."""

import struct
from collections.abc import Callable

import zstandard

from tests.disks.hostile.seeds import Make, changed, edited, file, number, pax, seed, tar, zipped

VDI = "vdi"
MAP = number("<I", 340)
QCOW2, ZLIB, ZSTD = "qcow2", "qcow2-zlib", "qcow2-zstd"
L1 = number(">Q", 40)
CLUSTER = 65536


def block(index: int) -> Callable[[bytes], int]:
    return lambda whole: MAP(whole) + 4 * index


def bomb(head: bytes, table: bytes, count: int) -> bytes:
    """A gzipped tar of a disk that is said to have 2^40 bytes: a head, and `table`, `count` times."""
    member = pax(size=str(2**40)) + tar(("disk", b""))[:512]
    return zipped([member, head, *([table] * count)])


def vdi_bomb() -> bytes:
    """A VDI whose map says of 2^26 blocks that they are block 0."""
    edits = (("<I", 384, 2**26), ("<Q", 368, 2**38), ("<I", 376, 4096), ("<I", 344, 2**30))
    return bomb(changed(VDI, *edits, cut=MAP), bytes(2**20), 256)


VDIS: dict[str, tuple[Make, str]] = {
    "version": (edited(VDI, ("<I", 68, 0x20001)), "version 2.1"),
    "undo": (edited(VDI, ("<I", 76, 3)), "byte 76: 3"),
    "difference": (edited(VDI, ("<I", 76, 4)), "byte 76: 4"),
    "type 0": (edited(VDI, ("<I", 76, 0)), "byte 76: 0"),
    "has a parent": (edited(VDI, ("<Q", 440, 7)), "difference"),
    "sectors of 4096": (edited(VDI, ("<I", 360, 4096)), "byte 360"),
    "size 2^63": (edited(VDI, ("<Q", 368, 2**63)), "byte 3"),
    "size 2^64-1": (edited(VDI, ("<Q", 368, 2**64 - 1)), "byte 3"),
    "size 0": (edited(VDI, ("<Q", 368, 0)), "byte 384"),
    "block 0": (edited(VDI, ("<I", 376, 0)), "byte 376"),
    "block odd": (edited(VDI, ("<I", 376, 2**20 + 512)), "byte 376"),
    "block huge": (edited(VDI, ("<I", 376, 2**31)), "byte 376"),
    "extra odd": (edited(VDI, ("<I", 380, 7)), "byte 380"),
    "extra huge": (edited(VDI, ("<I", 380, 2**31)), "byte 380"),
    "blocks huge": (edited(VDI, ("<I", 384, 2**32 - 1)), "byte 384"),
    "2^32 blocks": (edited(VDI, ("<I", 384, 2**32 - 1), ("<Q", 368, (2**32 - 1) << 20)), "byte 3"),
    "map far away": (edited(VDI, ("<I", 340, 2**32 - 512)), "byte 340"),
    "map is the header": (edited(VDI, ("<I", 340, 0)), "byte 340"),
    "data is the map": (edited(VDI, ("<I", 344, MAP)), "byte 344"),
    "data far away": (edited(VDI, ("<I", 344, 2**32 - 512)), "beyond the file"),
    "block outside": (edited(VDI, ("<I", block(3), 2**31)), "beyond the file"),
    "block at the end": (edited(VDI, ("<I", block(3), 3)), "beyond the file"),
    "two blocks in one place": (edited(VDI, ("<I", block(3), 0)), "used twice"),
    "two runs overlap": (edited(VDI, ("<I", block(3), 1)), "used twice"),
    "fixed, and too short": (edited("vdi-fixed", cut=2**20 * 9), "beyond the file"),
    "a map of one block": (file(vdi_bomb), "byte"),
}


def l2(index: int) -> Callable[[bytes], int]:
    """Where entry `index` of the first L2 table lies."""
    return lambda whole: (number(">Q", L1(whole))(whole) & (1 << 56) - 512) + 8 * index


def cluster(whole: bytes) -> int:
    """Where the first cluster of the disk lies."""
    return entry(whole) & (1 << 56) - 512


def entry(whole: bytes) -> int:
    """What the entry of the first cluster says."""
    return number(">Q", l2(0)(whole))(whole)


def packed(whole: bytes) -> int:
    """Where the first cluster of the disk lies, compressed."""
    return entry(whole) & (1 << 54) - 1


def with_frame(frame: bytes) -> bytes:
    """A qcow2 whose first cluster is another zstd frame."""
    whole = bytearray(seed(ZSTD))
    place = packed(bytes(whole))
    whole[place : place + len(frame)] = frame
    return bytes(whole)


def qcow2_bomb() -> bytes:
    """A qcow2 of 512-byte clusters, of which all are in use, in no order."""
    bits, tables = 9, 2**15 + 10
    head = bytearray(changed(QCOW2, cut=512))
    struct.pack_into(">IQ", head, 20, bits, tables * 64 * 512)
    struct.pack_into(">IQQI", head, 36, tables, 512, 2**50, 1)
    places = struct.pack(f">{tables}Q", *(2**20 + 512 * number for number in range(tables)))
    table = struct.pack(">64Q", *(2**30 + 1024 * number for number in range(64)))
    return bomb(bytes(head) + places.ljust(2**20 - 512, b"\0"), table * 64, tables // 64)


QCOW2S: dict[str, tuple[Make, str]] = {
    "magic": (edited(QCOW2, (">I", 0, 0x514649FC)), "no disk that we know"),
    "version 1": (edited(QCOW2, (">I", 4, 1)), "byte 4"),
    "version 4": (edited(QCOW2, (">I", 4, 4)), "byte 4"),
    "backing file": (edited(QCOW2, (">Q", 8, 512)), "backing file .*byte 8"),
    "encrypted": (edited(QCOW2, (">I", 32, 1)), "encrypted .*byte 32"),
    "LUKS": (edited(QCOW2, (">I", 32, 2)), "encrypted .*byte 32"),
    "corrupt": (edited(QCOW2, (">Q", 72, 2)), "corrupt .*byte 72"),
    "data file": (edited(QCOW2, (">Q", 72, 4)), "another file .*byte 72"),
    "subclusters": (edited(QCOW2, (">Q", 72, 16)), "byte 72"),
    "unknown features": (edited(QCOW2, (">Q", 72, 1 << 60)), "byte 72"),
    "unknown compression": (edited(ZSTD, (">B", 104, 9)), "byte 104"),
    "clusters of 2^0": (edited(QCOW2, (">I", 20, 0)), "byte 20"),
    "clusters of 2^8": (edited(QCOW2, (">I", 20, 8)), "byte 20"),
    "clusters of 2^63": (edited(QCOW2, (">I", 20, 63)), "byte 20"),
    "clusters of 2^(2^32-1)": (edited(QCOW2, (">I", 20, 2**32 - 1)), "byte 20"),
    "size 2^63": (edited(QCOW2, (">Q", 24, 2**63)), "byte"),
    "size 2^64-1": (edited(QCOW2, (">Q", 24, 2**64 - 1)), "byte 24"),
    "size 2^60": (edited(QCOW2, (">I", 20, 21), (">Q", 24, 2**60), (">I", 36, 2**21), (">Q", 40, 0)), "byte"),
    "L1 of 2^32 entries": (edited(QCOW2, (">I", 36, 2**32 - 1)), "byte 36"),
    "L1 too small": (edited(QCOW2, (">I", 36, 0)), "byte 36"),
    "L1 far away": (edited(QCOW2, (">Q", 40, 2**60)), "byte 40"),
    "L1 unaligned": (edited(QCOW2, (">Q", 40, 77)), "byte 40"),
    "L1 is the header": (edited(QCOW2, (">Q", 40, 0)), "byte"),
    "L1 entry is nonsense": (edited(QCOW2, (">Q", L1, 2**61)), "L1 entry"),
    "L2 outside": (edited(QCOW2, (">Q", L1, 1 << 50)), "byte"),
    "L2 is the header's": (edited(QCOW2, (">Q", L1, 1)), "L1 entry"),
    "L2 is the L1": (edited(QCOW2, (">Q", L1, L1)), "byte"),
    "L2 unaligned": (edited(QCOW2, (">Q", L1, 512)), "L1 entry"),
    "cluster outside": (edited(QCOW2, (">Q", l2(5), 1 << 50)), "file ends at"),
    "cluster is the header": (edited(QCOW2, (">Q", l2(5), 1 << 63 | 1 << 9)), "L2 entry"),
    "cluster is the L1": (edited(QCOW2, (">Q", l2(5), L1)), "two clusters or tables"),
    "cluster is its L2": (edited(QCOW2, (">Q", l2(5), l2(0))), "two clusters or tables"),
    "cluster is the refcounts'": (edited(QCOW2, (">Q", l2(5), number(">Q", 48))), "two clusters or tables"),
    "two clusters in one place": (edited(QCOW2, (">Q", l2(5), cluster)), "two clusters or tables"),
    "compressed, outside": (edited(ZLIB, (">Q", l2(5), 1 << 62 | 1 << 53)), "byte"),
    "compressed, in one place": (edited(ZLIB, (">Q", l2(1), entry)), "two clusters or tables"),
    "compressed, no deflate": (edited(ZLIB, (">Q", packed, 2**64 - 1)), "inflate"),
    "zstd: no frame": (file(lambda: with_frame(b"\xff" * 64)), "inflate"),
    "zstd: says 2^60 bytes": (file(lambda: with_frame(b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 7 + b"\x0f")), "inflate"),
    "zstd: a window of 2^41": (file(lambda: with_frame(b"\x28\xb5\x2f\xfd\x00\xff\x01\x00\x00")), "inflate"),
    "zstd: too little": (file(lambda: with_frame(zstandard.compress(bytes(100)) + b"\xff" * 9)), "inflate"),
    "snapshots far away are left out, refcounts outside": (
        edited(QCOW2, (">Q", 48, 1 << 60), (">I", 56, 2**31), (">Q", l2(0), 1 << 60)),
        "byte",
    ),
    "in 2^21 pieces": (file(qcow2_bomb), "byte"),
}
