"""The content of a file of an ext2, ext3 or ext4 filesystem: extent trees, block maps and data in the inode itself."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from provision.disks.inside.ext4 import ENCRYPTED, IN_EXTENTS, INLINE, Ext4, Inode
from provision.errors import InvalidInputError

EXTENT_MAGIC, DEEPEST = 0xF30A, 5
LONGEST_EXTENT = 2**15  # blocks; a larger number says that many less, which are zeros
DIRECT = 12  # blocks that an inode's map names itself; three more lead to further maps
ATTRIBUTES_MAGIC = 0xEA020000
SYSTEM = 7  # the prefix "system." of an attribute's name
NODES = 1024  # blocks of one file's map that are read at most
CHUNK = 2**20


class Run(NamedTuple):
    """`length` blocks of a file from block `first` of it on, which are those from `block` on; block 0 is zeros."""

    first: int
    block: int
    length: int


def content(filesystem: Ext4, inode: Inode, limit: int) -> bytes:
    """All of a file. Raises InvalidInputError if it is longer than `limit` bytes."""
    if inode.size > limit:
        raise InvalidInputError(f"Inode {inode.number} has {inode.size} bytes, more than the {limit} that are read.")
    return b"".join(chunks(filesystem, inode))


def chunks(filesystem: Ext4, inode: Inode) -> Iterator[bytes]:
    """A file from beginning to end, in pieces of at most 1 MiB."""
    if inode.flags & ENCRYPTED:
        raise InvalidInputError(f"Inode {inode.number} is encrypted.")
    if inode.flags & INLINE:
        yield _inline(filesystem, inode)[: inode.size]
        return
    if inode.is_link and inode.size < len(inode.blocks):
        yield inode.blocks[: inode.size]
        return
    done = 0
    for run in runs(filesystem, inode):
        start = run.first * filesystem.block_size
        if start >= inode.size:
            break
        yield from _zeros(start - done)
        end = min(start + run.length * filesystem.block_size, inode.size)
        yield from _stored(filesystem, run.block, end - start)
        done = end
    yield from _zeros(inode.size - done)


def runs(filesystem: Ext4, inode: Inode) -> Iterator[Run]:
    """Where a file's blocks are, in their order; those that it never wrote are left out."""
    last = -(-inode.size // filesystem.block_size)
    budget = [NODES]
    found = (
        _leaves(filesystem, inode.blocks, DEEPEST + 1, budget)
        if inode.flags & IN_EXTENTS
        else _mapped(filesystem, inode, last, budget)
    )
    done = 0
    for run in found:
        if run.first < done or run.block + run.length > filesystem.blocks:
            raise filesystem.damaged(f"has blocks out of order in inode {inode.number}")
        done = run.first + run.length
        yield run


def _leaves(filesystem: Ext4, node: bytes, above: int, budget: list[int]) -> Iterator[Run]:
    """The extents below one node, whose depth must be less than `above`."""
    magic, entries, _, depth = struct.unpack_from("<4H", node)
    if magic != EXTENT_MAGIC or depth >= above or entries > len(node) // 12 - 1:
        raise filesystem.damaged("has an extent tree that is none")
    for place in range(12, 12 + 12 * entries, 12):
        if depth:
            _, low, high = struct.unpack_from("<IIH", node, place)
            child = _node(filesystem, low + (high << 32), budget)
            yield from _leaves(filesystem, child, depth, budget)
        else:
            first, count, high, low = struct.unpack_from("<IHHI", node, place)
            written = count <= LONGEST_EXTENT
            yield Run(first, low + (high << 32) if written else 0, count if written else count - LONGEST_EXTENT)


def _node(filesystem: Ext4, block: int, budget: list[int]) -> bytes:
    budget[0] -= 1
    if budget[0] < 0:
        raise filesystem.damaged(f"maps one file with more than {NODES} blocks")
    return filesystem.block(block)


def _mapped(filesystem: Ext4, inode: Inode, last: int, budget: list[int]) -> Iterator[Run]:
    """The blocks that a map of the old kind names, merged where they are neighbours."""
    pointers, first = struct.unpack("<15I", inode.blocks), DIRECT
    waiting = Run(0, 0, 0)
    found = [_pointed(filesystem, pointers[:DIRECT], 0, 0, last, budget)]
    for depth, pointer in enumerate(pointers[DIRECT:]):
        found.append(_pointed(filesystem, (pointer,), first, depth + 1, last, budget))
        first += (filesystem.block_size // 4) ** (depth + 1)
    for group in found:
        for number, block in group:
            if waiting.length and (number, block) == (waiting.first + waiting.length, waiting.block + waiting.length):
                waiting = waiting._replace(length=waiting.length + 1)
                continue
            if waiting.length:
                yield waiting
            waiting = Run(number, block, 1)
    if waiting.length:
        yield waiting


def _pointed(
    filesystem: Ext4, pointers: tuple[int, ...], first: int, depth: int, last: int, budget: list[int]
) -> Iterator[tuple[int, int]]:
    """(number in the file, block) for what `pointers` lead to, `depth` maps further down, up to the block `last`."""
    each = filesystem.block_size // 4
    span = each**depth
    for index, pointer in enumerate(pointers):
        number = first + index * span
        if number >= last:
            return
        if not pointer:
            continue
        if depth:
            below = struct.unpack(f"<{each}I", _node(filesystem, pointer, budget))
            yield from _pointed(filesystem, below, number, depth - 1, last, budget)
        else:
            yield number, pointer


def _zeros(length: int) -> Iterator[bytes]:
    for start in range(0, length, CHUNK):
        yield bytes(min(CHUNK, length - start))


def _stored(filesystem: Ext4, block: int, length: int) -> Iterator[bytes]:
    if not block:
        yield from _zeros(length)
        return
    for start in range(0, length, CHUNK):
        yield filesystem.pread(block * filesystem.block_size + start, min(CHUNK, length - start))


def _inline(filesystem: Ext4, inode: Inode) -> bytes:
    """Data in the inode: its 60 bytes for the map, then the attribute system.data after its fields."""
    return inode.blocks + _attribute(filesystem, inode, b"data")


def _attribute(filesystem: Ext4, inode: Inode, name: bytes) -> bytes:
    tail = inode.tail
    extra = int.from_bytes(tail[:2], "little")
    if int.from_bytes(tail[extra : extra + 4], "little") != ATTRIBUTES_MAGIC:
        return b""
    entries = tail[extra + 4 :]
    place = 0
    while place + 16 <= len(entries) and entries[place : place + 4] != bytes(4):
        length, prefix, offset, _, size, _ = struct.unpack_from("<BBHIII", entries, place)
        if prefix == SYSTEM and entries[place + 16 : place + 16 + length] == name:
            if offset + size > len(entries):
                raise filesystem.damaged(f"has data outside of inode {inode.number}")
            return entries[offset : offset + size]
        place += (16 + length + 3) // 4 * 4
    return b""
