"""The modules in an initrd, however it is packed."""

import bz2
import gzip
import lzma
from collections.abc import Iterable

import pytest
import zstandard

from provision.errors import InvalidInputError
from provision.guests.initrd import modules

NAMES = ("lib/modules/6.1/kernel/drivers/block/virtio_blk.ko", "lib/modules/6.1/kernel/fs/ext4.ko.xz", "init")


def cpio(names: Iterable[str] = NAMES, size: int = 5000) -> bytes:
    """An archive as the kernel's usr/gen_init_cpio writes it."""
    made = b""
    for name in (*names, "TRAILER!!!"):
        length = 0 if name == "TRAILER!!!" else size
        fields = (1, 0o100644, 0, 0, 1, 0, length, 0, 0, 0, 0, len(name) + 1, 0)
        made += b"070701" + "".join(f"{field:08x}" for field in fields).encode() + name.encode() + b"\0"
        made += bytes(-len(made) % 4) + b"c" * length + bytes(-length % 4)
    return made + bytes(-len(made) % 512)


EARLY = cpio(["kernel/x86/microcode/GenuineIntel.bin"])
ZSTD = zstandard.ZstdCompressor().compress(cpio())
WHOLE = {
    "plain": cpio(),
    "gzip": gzip.compress(cpio()),
    "xz": lzma.compress(cpio(), check=lzma.CHECK_CRC32),
    "lzma": lzma.compress(cpio(), format=lzma.FORMAT_ALONE),
    "bzip2": bz2.compress(cpio()),
    "zstd": ZSTD,
    "microcode before it": EARLY + bytes(1024) + ZSTD,
    "two archives before it": EARLY + cpio(["kernel/firmware"]) + gzip.compress(cpio()),
    "two archives in it": gzip.compress(EARLY + bytes(512) + cpio()),
    "something behind it": gzip.compress(cpio()) + b"signature",
}


def pieces(content: bytes, size: int) -> Iterable[bytes]:
    return (content[place : place + size] for place in range(0, len(content), size))


@pytest.mark.parametrize("size", [7, 4096, 2**20])
@pytest.mark.parametrize("name", WHOLE)
def test_modules_are_named(name: str, size: int) -> None:
    assert list(modules(pieces(WHOLE[name], size))) == ["virtio_blk", "ext4"]


def test_dashes_are_underscores_as_the_kernel_has_it() -> None:
    assert list(modules([cpio(["kernel/virtio-rng.ko.zst", "etc/virtio.conf", "ko"])])) == ["virtio_rng"]


BROKEN = {
    "nothing": (b"", "empty"),
    "lz4": (b"\x02\x21\x4c\x18" + bytes(100), "compressed with lz4"),
    "lzo": (b"\x89LZO\0\r\n" + bytes(100), "compressed with lzo"),
    "no initrd": (b"#!/bin/sh\n" * 100, "compressed with something unknown"),
    "cut off": (cpio()[:3000], "damaged"),
    "cut off gzip": (gzip.compress(cpio())[:60], "damaged"),
    "damaged gzip": (gzip.compress(cpio())[:30] + b"xxxxxxxx" * 9, "empty or cut off"),
    "damaged xz": (lzma.compress(cpio())[:40] + b"xxxxxxxx" * 9, "cannot be unpacked"),
    "damaged zstd": (ZSTD[:9] + b"\xff" * 99, "cannot be unpacked"),
    "xz that needs 1.5 GiB": (lzma.compress(cpio(), filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 2**30}]), "cannot"),
    "no archive in gzip": (gzip.compress(b"text" * 1000), "no cpio archive"),
    "a name of 4 GiB": (cpio()[:94] + b"ffffffff" + cpio()[102:], "damaged"),
    "a size that is no number": (cpio()[:54] + b"nonumber" + cpio()[62:], "damaged"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_read_is_said(name: str) -> None:
    content, words = BROKEN[name]
    with pytest.raises(InvalidInputError, match=words):
        list(modules(pieces(content, 1000)))


def test_a_bomb_ends() -> None:
    """An archive whose one file is as large as can be said is passed over, but not for ever."""
    head = cpio(["init"], 0)[:112]
    packer = zstandard.ZstdCompressor().compressobj()
    packed = packer.compress(head[:54] + b"ffffffff" + head[62:])
    for _ in range(1100):
        packed += packer.compress(bytes(2**20))
    packed += packer.flush()
    assert len(packed) < 2**18
    with pytest.raises(InvalidInputError, match="more than 1024 MiB"):
        list(modules(pieces(packed, 1000)))
