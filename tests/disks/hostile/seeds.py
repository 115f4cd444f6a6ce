"""Small sound files of every format, from which broken ones are made by changing a few bytes."""

import gzip
import io
import struct
import tarfile
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.disks.images import FORMATS, content, raw_disk

SIZE = 40 * 2**20 + 3 * 512  # more than one grain table tells of
RUNS = [(0, content(1, 3 * 65536)), (35 * 2**20, content(2, 70000)), (SIZE - 1024, b"e" * 1024), (510, b"\x55\xaa")]

Edit = tuple[str, "int | Callable[[bytes], int]", "int | Callable[[bytes], int]"]  # struct's form, place, value
Make = Callable[[Path], Path]


@lru_cache
def seed(form: str) -> bytes:
    """A sound file of one of the formats in tests.disks.images.FORMATS."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        raw = raw_disk(folder / "raw", SIZE, RUNS)
        FORMATS[form].make(raw, folder / "disk")
        return (folder / "disk").read_bytes()


def number(form: str, place: int) -> Callable[[bytes], int]:
    return lambda whole: int(struct.unpack_from(form, whole, place)[0])


def changed(form: str, *edits: Edit, cut: int | Callable[[bytes], int] | None = None) -> bytes:
    """A sound file of `form` with some numbers changed, and cut off."""
    whole = bytearray(seed(form))
    for kind, place, value in edits:
        struct.pack_into(kind, whole, _at(place, whole), _at(value, whole))
    return bytes(whole[: _at(cut, whole)] if cut is not None else whole)


def _at(place: int | Callable[[bytes], int], whole: bytearray) -> int:
    return place if isinstance(place, int) else place(bytes(whole))


def file(whole: bytes | Callable[[], bytes]) -> Make:
    """What writes `whole` to a file in a folder."""

    def make(folder: Path) -> Path:
        path = folder / "disk"
        path.write_bytes(whole if isinstance(whole, bytes) else whole())
        return path

    return make


def edited(form: str, *edits: Edit, cut: int | Callable[[bytes], int] | None = None) -> Make:
    return file(lambda: changed(form, *edits, cut=cut))


def header(name: str, size: int = 0, kind: bytes = b"0") -> bytes:
    """The header of a tar's member; `size` may be one that tarfile would not write."""
    member = tarfile.TarInfo("x")
    block = bytearray(member.tobuf(tarfile.USTAR_FORMAT))
    block[0:100] = name.encode()[:100].ljust(100, b"\0")
    block[124:136] = struct.pack(">BBHQ", 0xFF if size < 0 else 0x80, 0xFF if size < 0 else 0, 0, size % 2**64)
    if size < 0:
        block[126:128] = b"\xff\xff"
    block[156:157] = kind
    return summed(block)


def summed(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(whole: bytes) -> bytes:
    return whole + bytes(-len(whole) % 512)


def tar(*members: tuple[str, bytes]) -> bytes:
    return b"".join(header(name, len(whole)) + padded(whole) for name, whole in members) + bytes(1024)


def pax(**records: str) -> bytes:
    """A pax header, which tells of the member behind it."""
    text = b"".join(_record(key.replace("__", "."), value) for key, value in records.items())
    return header("pax", len(text), b"x") + padded(text)


def _record(key: str, value: str) -> bytes:
    text = f" {key}={value}\n".encode()
    length = len(text) + len(str(len(text)))
    length = len(text) + len(str(length))
    return str(length).encode() + text


def zipped(whole: bytes | Iterable[bytes]) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1, mtime=0) as stream:
        for chunk in [whole] if isinstance(whole, bytes) else whole:
            stream.write(chunk)
    return out.getvalue()
