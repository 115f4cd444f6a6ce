"""VirtualBox's own disk image, dynamic or fixed: see VDICore.h in VirtualBox and block/vdi.c in QEMU."""

import struct
import zlib
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from provision.disks.extents import LARGEST, SECTOR, Disk, Extent
from provision.disks.formats.maps import PIECES, damaged, entries
from provision.disks.formats.raw import UNIT, on_disk, without_holes
from provision.disks.window import Window
from provision.errors import InvalidInputError

VDI_MAGIC = b"\x7f\x10\xda\xbe"  # at byte 64
_HEADER = struct.Struct("<4sIII I256s II 12xI 4xQIIII 32s32s")  # from byte 64 on
_VERSION = 0x10001
_FORMATS = {1: "VDI", 2: "VDI (fixed)"}
_ZEROS = 0xFFFFFFFE  # in place of a block that is all zeros; one that was never written has all bits set
_BLOCK_BITS = range(12, 31)  # 1 MiB is usual
_NO_PARENT = bytes(32)
_HEAD = 4096  # bytes


class _Layout(NamedTuple):
    kind: int
    size: int  # of the disk, in bytes
    block: int  # bytes of the disk in a block
    extra: int  # bytes before each block's content
    blocks: int
    map: int  # where the block map begins
    data: int  # where the blocks begin


def read_vdi(window: Window) -> Disk:
    """The disk in `window`. InvalidInputError: that is no sound VDI, encrypted, or the difference from another disk."""
    layout = _layout(window)
    _check(window, layout)
    _refuse_encrypted(window, layout)
    extents = partial(_extents, window, layout)
    return Disk(_FORMATS[layout.kind], layout.size, on_disk(window), extents, min(layout.block, UNIT))


def _layout(window: Window) -> _Layout:
    fields = _HEADER.unpack(window.pread(64, _HEADER.size))
    magic, version, _, kind, _, _, place, data, sector, size, block, extra, blocks, _, _, parents = fields
    if magic != VDI_MAGIC:
        raise damaged(window, 64, "it has not the signature of a VDI")
    if version != _VERSION:
        raise InvalidInputError(
            f"{window.name} is a VDI of version {version >> 16}.{version & 0xFFFF} (byte 68), not 1.1."
        )
    if kind not in _FORMATS or parents != _NO_PARENT:
        raise InvalidInputError(
            f"{window.name} is the difference from another disk, or a VDI of an unknown type (byte 76: {kind}).",
            hint="Copy the disk in VirtualBox (VBoxManage clonemedium), which makes one plain disk of it.",
        )
    if sector != SECTOR:
        raise damaged(window, 360, f"its sectors have {sector} bytes")
    # VBoxManage convertfromraw writes sizes that are no multiple of a sector; QEMU rounds them up too.
    return _Layout(kind, -(-size // SECTOR) * SECTOR, block, extra, blocks, place, data)


def _check(window: Window, layout: _Layout) -> None:
    """Refuse a header whose numbers do not fit one another or the file."""
    size, block = layout.size, layout.block
    if block.bit_length() - 1 not in _BLOCK_BITS or block & (block - 1):
        raise damaged(window, 376, f"its blocks have {block} bytes")
    if layout.extra % SECTOR or layout.extra > block:
        raise damaged(window, 380, f"its blocks begin with {layout.extra} other bytes")
    if layout.blocks != -(-size // block):
        raise damaged(window, 384, f"a disk of {size} bytes has not {layout.blocks} blocks")
    if size > LARGEST:
        raise damaged(window, 368, f"{size} bytes are more than a disk's {LARGEST}")
    end = layout.map + 4 * layout.blocks
    if layout.map < SECTOR or end > window.size:
        raise damaged(window, 340, f"its block map reaches from byte {layout.map} to {end} of {window.size}")
    if layout.data < end:
        raise damaged(window, 344, f"its blocks begin at byte {layout.data}, inside the block map")


def _refuse_encrypted(window: Window, layout: _Layout) -> None:
    """Refuse a disk that begins with noise: of encryption VirtualBox tells in the machine's .vbox alone."""
    if window.file is None or layout.size < _HEAD:  # what is gzipped is not read to and fro for that
        return
    (first,) = struct.unpack("<I", window.pread(layout.map, 4))
    place = layout.data + first * (layout.block + layout.extra) + layout.extra
    if place + _HEAD > window.size:
        return
    head = window.pread(place, _HEAD)
    if head[510:512] != b"\x55\xaa" and len(zlib.compress(head)) > _HEAD:
        raise InvalidInputError(
            f"{window.name} is encrypted: its disk begins with noise (byte {place}).",
            hint="Decrypt it in VirtualBox (the machine's settings, Disk Encryption; or VBoxManage encryptmedium).",
        )


def _extents(window: Window, layout: _Layout) -> Iterator[Extent]:
    """The blocks in the order of the file, merged where they are neighbours in it and on the disk."""
    return without_holes(_blocks(window, layout, _runs(window, layout)), min(layout.block, UNIT))


def _runs(window: Window, layout: _Layout) -> list[int]:
    """The first block in the file, the first on the disk and their number, of all runs, in one number each; sorted."""
    runs: list[int] = []
    fitting = max(0, window.size - layout.data) // (layout.block + layout.extra)
    first = block = count = 0
    for index, value in entries(window, layout.map, layout.blocks, "I", "little", free=b"\xff"):
        if value == _ZEROS:
            continue
        if value >= fitting:
            raise damaged(window, layout.map + 4 * index, f"block {value} lies beyond the file's end")
        if count and value == first + count and index == block + count and not layout.extra:
            count += 1
            continue
        if count:
            runs.append((first << 32 | block) << 32 | count)
        if len(runs) > min(fitting, PIECES):
            raise damaged(
                window, layout.map + 4 * index, f"more than {len(runs) - 1} blocks or runs of them are in use"
            )
        first, block, count = value, index, 1
    if count:
        runs.append((first << 32 | block) << 32 | count)
    runs.sort()
    return runs


def _blocks(window: Window, layout: _Layout, runs: list[int]) -> Iterator[Extent]:
    end = 0
    for run in runs:
        first, block, count = run >> 64, run >> 32 & 2**32 - 1, run & 2**32 - 1
        if first < end:
            raise damaged(window, layout.map + 4 * block, f"block {first} is used twice")
        end = first + count
        offset, place = block * layout.block, layout.data + first * (layout.block + layout.extra) + layout.extra
        length = min(count * layout.block, layout.size - offset)
        yield Extent(offset, length, window, place, length)
