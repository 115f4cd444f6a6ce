"""The kernel modules in an initrd: cpio archives one after another, the last one usually compressed.

After the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import bz2
import lzma
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, Protocol, cast

import zstandard

from provision.errors import InvalidInputError

CHUNK = 2**18
MOST = 2**30  # bytes of one archive that are looked at
DICTIONARY = 2**25  # bytes that a decompressor may keep; the kernel's own has less
HEADER = 110
LONGEST_NAME = 4096
TRAILER = b"TRAILER!!!"
CPIO = (b"070701", b"070702")
NOT_READ = {b"\x02\x21\x4c\x18": "lz4", b"\x04\x22\x4d\x18": "lz4", b"\x89LZO": "lzo"}


def modules(content: Iterable[bytes]) -> Iterator[str]:
    """The names of the modules in an initrd, as `lsmod` shows them, in its order.

    Raises InvalidInputError for what cannot be read.
    """
    for name in _names(_Stream(content), packed=False):
        last = name.rpartition("/")[2]
        if ".ko" in last:
            yield last.partition(".ko")[0].replace("-", "_")


def _names(stream: "_Stream", *, packed: bool) -> Iterator[str]:
    """The names of all files in all archives."""
    archives = 0
    while magic := stream.peek_past_zeros(6):
        if magic in CPIO:
            yield from _archive(stream)
            archives += 1
        elif packed:
            raise InvalidInputError("the initrd holds something that is no cpio archive")
        else:
            yield from _names(_Stream(_unpacked(stream, magic)), packed=True)
            return  # what follows a compressed archive is not looked for
    if not archives:
        raise InvalidInputError("the initrd is empty or cut off")


def _archive(stream: "_Stream") -> Iterator[str]:
    while True:
        header = stream.read(HEADER)
        try:
            size, length = int(header[54:62], 16), int(header[94:102], 16)
        except ValueError:
            size, length = -1, -1
        if header[:6] not in CPIO or not 0 < length <= LONGEST_NAME or size < 0:
            raise InvalidInputError("the initrd's cpio archive is damaged")
        name = stream.read(length + -(HEADER + length) % 4)[: length - 1]
        if name == TRAILER:
            return
        stream.skip(size + -size % 4)
        yield name.decode(errors="replace")


class _Decompressor(Protocol):
    """What lzma and bz2 have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def _unpacked(stream: "_Stream", magic: bytes) -> Iterator[bytes]:
    """What a compressed archive inflates to, a little at a time."""
    try:
        if magic[:2] == b"\x1f\x8b":
            yield from _gunzipped(stream)
        elif magic[:4] == b"\x28\xb5\x2f\xfd":
            with zstandard.ZstdDecompressor(max_window_size=DICTIONARY).stream_reader(
                cast("IO[bytes]", stream)
            ) as reader:
                while chunk := reader.read(CHUNK):
                    yield chunk
        elif magic == b"\xfd7zXZ\0" or magic[:3] == b"\x5d\0\0":
            yield from _decompressed(stream, lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=2 * DICTIONARY))
        elif magic[:3] == b"BZh":
            yield from _decompressed(stream, bz2.BZ2Decompressor())
        else:
            raise InvalidInputError(f"the initrd is compressed with {NOT_READ.get(magic[:4], 'something unknown')}")
    except (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, MemoryError) as exc:
        raise InvalidInputError(f"the initrd cannot be unpacked: {exc}") from exc


def _decompressed(stream: "_Stream", decompressor: _Decompressor) -> Iterator[bytes]:
    while not decompressor.eof:
        packed = stream.read(CHUNK) if decompressor.needs_input else b""
        yield decompressor.decompress(packed, CHUNK)
        if not packed and decompressor.needs_input:
            return


def _gunzipped(stream: "_Stream") -> Iterator[bytes]:
    decompressor = zlib.decompressobj(31)
    while not decompressor.eof and (packed := decompressor.unconsumed_tail or stream.read(CHUNK)):
        yield decompressor.decompress(packed, CHUNK)


class _Stream:
    """Pieces of bytes as one run of them, of which no more than `MOST` are taken."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces, self.rest, self.taken = iter(pieces), memoryview(b""), 0

    def read(self, length: int) -> bytes:
        """The next `length` bytes, fewer at the end."""
        parts = []
        while length and self._more():
            parts.append(bytes(self.rest[:length]))
            self.rest = self.rest[length:]
            length -= len(parts[-1])
        return b"".join(parts)

    def skip(self, length: int) -> None:
        while length and self._more():
            passed = min(length, len(self.rest))
            self.rest = self.rest[passed:]
            length -= passed

    def peek_past_zeros(self, length: int) -> bytes:
        while self._more():
            if stripped := bytes(self.rest).lstrip(b"\0"):
                self.rest = memoryview(stripped)
                break
            self.rest = memoryview(b"")
        while 0 < len(self.rest) < length and (piece := next(self.pieces, b"")):
            self.rest = memoryview(bytes(self.rest) + piece)
        return bytes(self.rest[:length])

    def _more(self) -> bool:
        while not self.rest:
            piece = next(self.pieces, None)
            if piece is None:
                return False
            self.taken += len(piece)
            if self.taken > MOST:
                raise InvalidInputError(f"the initrd holds more than {MOST >> 20} MiB")
            self.rest = memoryview(piece)
        return True
