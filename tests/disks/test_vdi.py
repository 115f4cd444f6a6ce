"""VDI files as VirtualBox writes them are read; what their headers and block maps cannot mean is refused."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.disks.formats.vdi import read_vdi
from provision.disks.window import opened_file
from provision.errors import InvalidInputError
from tests.disks import virtualbox
from tests.disks.conftest import MIB, sh
from tests.disks.images import assert_reads_as, changed, raw_disk

SIZE = 7 * MIB + 512
MAP, DATA = MIB, 2 * MIB  # where the generator puts them


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A disk of 8 blocks, of which 0, 1, 2 and the last, which is cut, have data."""
    return raw_disk(tmp_path / "raw", SIZE, [(0, b"a" * MIB), (MIB, b"b" * MIB), (2 * MIB, b"c"), (SIZE - 1, b"d")])


@pytest.mark.parametrize("shuffled", [True, False])
@pytest.mark.parametrize("extra", [0, 512])
def test_blocks_in_any_order(extra: int, shuffled: bool, raw: Path, tmp_path: Path) -> None:
    """VirtualBox may put sectors of its own before each block's content, which QEMU does not know."""
    virtualbox.vdi(raw, tmp_path / "vdi", extra=extra, shuffled=shuffled)
    assert_reads_as(raw, tmp_path / "vdi", tmp_path / "target")


def test_a_size_that_is_no_whole_number_of_sectors_is_rounded_up(tmp_path: Path) -> None:
    """VBoxManage convertfromraw writes such, says QEMU."""
    raw = raw_disk(tmp_path / "raw", SIZE, [(SIZE - 512, b"d" * 100)])
    sh("qemu-img", "convert", "-f", "raw", "-O", "vdi", raw, tmp_path / "vdi")
    changed(tmp_path / "vdi", 368, struct.pack("<Q", SIZE - 511))
    assert_reads_as(raw, tmp_path / "vdi", tmp_path / "target")


def test_an_encrypted_disk_is_refused(tmp_path: Path) -> None:
    """VirtualBox encrypts what is in the blocks, all of it, and does not say so in the file."""
    raw = raw_disk(tmp_path / "raw", SIZE, [(0, os.urandom(3 * MIB)), (510, b"\0\0")])
    virtualbox.vdi(raw, tmp_path / "vdi")
    with opened_file(tmp_path / "vdi") as window, pytest.raises(InvalidInputError, match=r"vdi is encrypted.*byte"):
        read_vdi(window)


def number(place: int, value: int, form: str = "<I") -> Callable[[Path], None]:
    return lambda path: changed(path, place, struct.pack(form, value))


def cut(size: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, size)


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "no signature": (number(64, 0), "byte 64: it has not the signature"),
    "version": (number(68, 0x20000), r"version 2.0 \(byte 68\), not 1.1"),
    "undo": (number(76, 3), "difference from another disk.*byte 76: 3"),
    "difference": (number(76, 4), "difference from another disk.*byte 76: 4"),
    "parent": (number(440, 1), "difference from another disk"),
    "sectors": (number(360, 4096), "byte 360: its sectors have 4096 bytes"),
    "size of 2^63": (number(368, 2**63, "<Q"), "byte 384: a disk of 9223372036854775808 bytes has not 8 blocks"),
    "size of 64 TiB and more": (
        lambda path: changed(path, 368, struct.pack("<QIII", 65537 << 30, 2**30, 0, 65537)),
        f"byte 368: {65537 << 30} bytes are more than",
    ),
    "size larger than the map": (number(368, SIZE + MIB, "<Q"), "byte 384: .* has not 8 blocks"),
    "block of 0": (number(376, 0), "byte 376: its blocks have 0 bytes"),
    "block of 3 MiB": (number(376, 3 * MIB), "byte 376: its blocks have 3145728 bytes"),
    "block of 2 GiB": (number(376, 2**31), "byte 376: its blocks have 2147483648 bytes"),
    "extra": (number(380, 100), "byte 380: its blocks begin with 100 other bytes"),
    "2^32 blocks": (number(384, 2**32 - 1), "byte 384: .* has not 4294967295 blocks"),
    "map in the header": (number(340, 0), "byte 340: its block map reaches from byte 0"),
    "map beyond the file": (number(340, 2**32 - 512), "byte 340: its block map reaches from byte 4294966784"),
    "data in the map": (number(344, MAP), "byte 344: its blocks begin at byte 1048576, inside the block map"),
    "data beyond the file": (number(344, 2**31), "byte 1048576: block . lies beyond the file"),
    "block beyond the file": (number(MAP + 4, 4), "byte 1048580: block 4 lies beyond the file"),
    "a block twice": (lambda path: changed(path, MAP, struct.pack("<II", 1, 1)), "block 1 is used twice"),
    "every block the same": (
        lambda path: changed(path, MAP, bytes(32)),
        f"byte {MAP + 20}: more than 4 blocks or runs",
    ),
    "header cut": (cut(400), "is cut off or wrong"),
    "map cut": (cut(MAP + 8), "byte 340: its block map reaches"),
    "last block cut": (cut(DATA + 4 * MIB - 512), "block 3 lies beyond the file's end"),
}


@pytest.mark.parametrize("name", BAD)
def test_refused(name: str, raw: Path, tmp_path: Path) -> None:
    change, message = BAD[name]
    virtualbox.vdi(raw, tmp_path / "vdi")
    change(tmp_path / "vdi")
    with opened_file(tmp_path / "vdi") as window, pytest.raises(InvalidInputError, match=message):
        list(read_vdi(window).extents())
