"""Disk files as VirtualBox writes them, where that differs from what qemu-img does.

The layouts are those of VirtualBox's src/VBox/Storage/VMDK.cpp (vmdkCreateStreamImage, vmdkStreamAllocGrain,
vmdkStreamFlushGT and vmdkFreeImage) and VDI.cpp.
"""

import errno
import os
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

SECTOR = 512
GRAIN = 2**16
ENTRIES = 512  # of a grain table
OVERHEAD = 128  # sectors before the first grain
AT_END = 2**64 - 1
BLOCK = 2**20
NO_UUID = "00000000-0000-0000-0000-000000000000"

DESCRIPTOR = """# Disk DescriptorFile
version=1
CID=6f0ac311
parentCID=ffffffff
createType="{kind}"

# Extent description
{extents}

# The disk Data Base 
#DDB

ddb.virtualHWVersion = "4"
ddb.adapterType="ide"
ddb.uuid.image="f3b9a2c1-8a7b-4e47-9a3b-2b1f7c7a5d10"
ddb.uuid.parent="{none}"
ddb.uuid.modification="{none}"
ddb.uuid.parentmodification="{none}"
ddb.geometry.cylinders="16383"
ddb.geometry.heads="16"
ddb.geometry.sectors="63"
ddb.comment=""
"""  # noqa: W291  # VirtualBox writes that space


def descriptor(kind: str, extents: str) -> bytes:
    return DESCRIPTOR.format(kind=kind, extents=extents, none=NO_UUID).encode()


def pieces(raw: Path, length: int) -> Iterator[tuple[int, bytes]]:
    """The number and content of each piece of a raw disk that is not all zeros, the last one filled up with zeros."""
    nothing = bytes(length)
    with raw.open("rb") as stream:
        for offset in data(stream, raw.stat().st_size, length):
            stream.seek(offset)
            content = stream.read(length).ljust(length, b"\0")
            if content != nothing:
                yield offset // length, content


def data(stream: BinaryIO, size: int, length: int) -> Iterator[int]:
    """Where each piece of `length` bytes begins that is no hole."""
    offset = 0
    while (offset := following(stream, offset, size)) < size:
        offset -= offset % length
        yield offset
        offset += length


def following(stream: BinaryIO, offset: int, size: int) -> int:
    try:
        return os.lseek(stream.fileno(), offset, os.SEEK_DATA) if offset < size else size
    except OSError as exc:
        if exc.errno != errno.ENXIO:
            raise
        return size


def stream_optimized(raw: Path, target: Path) -> None:
    """A VMDK as `VBoxManage export` and `vagrant package` write it: in one go, its tables and its footer at the end."""
    size = raw.stat().st_size
    capacity = -(-size // GRAIN) * GRAIN // SECTOR  # the descriptor has the true size
    text = descriptor("streamOptimized", f'RDONLY {size // SECTOR} SPARSE "{target.name}"')
    directory = [0] * -(-capacity * SECTOR // (GRAIN * ENTRIES))
    with target.open("wb") as stream:
        stream.write(header(capacity, len(text), AT_END).ljust(SECTOR, b"\0") + text)
        stream.seek(OVERHEAD * SECTOR)
        table, current = [0] * ENTRIES, 0
        for number, content in pieces(raw, GRAIN):
            if number // ENTRIES != current:
                flush(stream, directory, current, table)
                table, current = [0] * ENTRIES, number // ENTRIES
            table[number % ENTRIES] = stream.tell() // SECTOR
            packed = zlib.compress(content)
            stream.write(struct.pack("<QI", number * GRAIN // SECTOR, len(packed)) + packed)
            align(stream)
        flush(stream, directory, current, table)
        stream.write(marker(-(-len(directory) * 4 // SECTOR), 2))
        place = stream.tell() // SECTOR
        stream.write(struct.pack(f"<{len(directory)}I", *directory))
        align(stream)
        stream.write(marker(1, 3) + header(capacity, len(text), place).ljust(SECTOR, b"\0") + marker(0, 0))


def header(capacity: int, text: int, directory: int) -> bytes:
    return struct.pack(
        "<4sII4QI3QB4sH",
        *(b"KDMV", 3, 0x30001, capacity, GRAIN // SECTOR, 1, -(-text // SECTOR), ENTRIES, 0, directory, OVERHEAD),
        *(0, b"\n \r\n", 1),
    )


def marker(sectors: int, kind: int) -> bytes:
    return struct.pack("<QII", sectors, 0, kind).ljust(SECTOR, b"\0")


def align(stream: BinaryIO) -> None:
    stream.write(bytes(-stream.tell() % SECTOR))


def flush(stream: BinaryIO, directory: list[int], number: int, table: list[int]) -> None:
    if any(table):
        stream.write(marker(ENTRIES * 4 // SECTOR, 1))
        directory[number] = stream.tell() // SECTOR
        stream.write(struct.pack(f"<{ENTRIES}I", *table))


def vdi(raw: Path, target: Path, *, extra: int = 0, shuffled: bool = True) -> None:
    """A dynamic VDI of a machine that has run: its blocks lie in the order in which they were first written."""
    size = raw.stat().st_size
    blocks = [*pieces(raw, BLOCK)]
    if shuffled:
        random.Random(7).shuffle(blocks)  # noqa: S311  # no secret
    table = [0xFFFFFFFE if number % 5 == 4 else 0xFFFFFFFF for number in range(-(-size // BLOCK))]
    for place, (number, _) in enumerate(blocks):
        table[number] = place
    start = BLOCK + -(-len(table) * 4 // BLOCK) * BLOCK
    with target.open("wb") as stream:
        stream.write(b"<<< Oracle VM VirtualBox Disk Image >>>\n".ljust(64, b"\0"))
        numbers = (0xBEDA107F, 0x10001, 400, 1, 0, b"", BLOCK, start, 0, 0, 0, SECTOR, 0, size, BLOCK, extra)
        stream.write(struct.pack("<IIIII256sIIIIIIIQII", *numbers) + struct.pack("<II", len(table), len(blocks)))
        stream.write(b"\x11" * 32)  # UUIDs of the image and its last snapshot; those of a parent are zeros
        stream.seek(BLOCK)
        stream.write(struct.pack(f"<{len(table)}I", *table))
        stream.seek(start)
        for _, content in blocks:
            stream.write(bytes(extra) + content)
        stream.truncate(max(stream.tell(), start))
