"""The content of extents, inflated by libdeflate: measured the fastest of libdeflate, isal, zlib-ng and zlib."""

import zlib

import deflate
import zstandard

from provision.disks.extents import Extent, Packing
from provision.disks.window import AGAIN
from provision.errors import InvalidInputError

Buffer = bytes | bytearray | memoryview
_WINDOW = 2**23  # bytes of memory that a zstd frame may ask for; one of a cluster needs 2 MiB at most


def inflate(packing: Packing, packed: Buffer, most: int) -> Buffer:
    """What `packed` inflates to: at most `most` bytes, or ValueError. Bytes behind the stream's end are ignored."""
    try:
        if packing is Packing.ZLIB:
            return deflate.zlib_decompress(packed, most)
        if packing is Packing.DEFLATE:
            return deflate.deflate_decompress(packed, most)
        if packing is Packing.ZSTD:
            return _zstd(packed, most)
    except (deflate.DeflateError, zstandard.ZstdError) as exc:
        raise ValueError(str(exc)) from exc
    return packed


def _zstd(packed: Buffer, most: int) -> bytes:
    """The first `most` bytes, as QEMU has them: in the rest of the last sector there may be another cluster's frame.

    A stream, because a frame's header may lie about the size of its content.
    """
    unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    with unpacker.stream_reader(packed, read_across_frames=True) as stream:
        return stream.read(most)


def unpacked(extent: Extent, packed: Buffer) -> Buffer:
    """The `extent.length` bytes of the disk that `packed`, read from the extent's place, stand for."""
    if extent.packing is Packing.STORED:
        return packed
    try:
        content = inflate(extent.packing, packed, extent.whole or extent.length)
    except ValueError as exc:
        raise _damaged(extent, f"do not inflate to at most {extent.whole or extent.length} bytes") from exc
    if len(content) < extent.length:
        raise _damaged(extent, f"inflate to {len(content)} bytes of {extent.length}")
    return content if len(content) == extent.length else memoryview(content)[: extent.length]


def content(extent: Extent) -> Buffer:
    """The bytes of the disk that `extent` is about."""
    return unpacked(extent, extent.window.pread(extent.place, extent.size))


def _damaged(extent: Extent, what: str) -> InvalidInputError:
    return InvalidInputError(
        f"{extent.window.name} is damaged: the {extent.size} bytes at byte {extent.place} {what}.", hint=AGAIN
    )


def squeeze(packing: Packing, content: Buffer) -> bytes:
    """Pack one cluster as qcow2 has it: raw deflate with a window of 4 KiB, or one zstd frame."""
    if packing is Packing.ZSTD:
        return zstandard.ZstdCompressor(level=3).compress(content)
    packer = zlib.compressobj(6, zlib.DEFLATED, -12)
    return packer.compress(content) + packer.flush()
