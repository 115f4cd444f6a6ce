"""Raw disks: their holes are not read, and neither are the holes of preallocated files in other formats."""

import gzip
from pathlib import Path

import pytest

from provision.disks.extents import Disk
from provision.disks.formats.raw import read_raw
from provision.disks.source import opened
from provision.disks.window import inflated, opened_file
from provision.errors import InvalidInputError
from tests.disks.conftest import MIB, sh
from tests.disks.images import raw_disk

DATA = [(0, b"a" * 4096), (3 * MIB, b"b" * 8192), (9 * MIB - 4096, b"c" * 4096)]


def runs(disk: Disk) -> list[tuple[int, int]]:
    return [(extent.offset, extent.length) for extent in disk.extents()]


def test_holes_are_left_out(tmp_path: Path) -> None:
    raw = raw_disk(tmp_path / "raw", 9 * MIB, DATA)
    with opened_file(raw) as window:
        assert runs(read_raw(window)) == [(offset, len(content)) for offset, content in DATA]
        assert read_raw(window).stored == 4 * 4096


def test_in_a_part_of_a_file_that_begins_anywhere(tmp_path: Path) -> None:
    """As in a tar: 512 bytes into the file, blocks of the file system and of the disk are not the same."""
    raw = raw_disk(tmp_path / "raw", 9 * MIB, [(512 + offset, content) for offset, content in DATA[:2]])
    with opened_file(raw) as window:
        found = runs(read_raw(window.part("inside", 512, 8 * MIB)))
    assert found == [(0, 8192 - 512), (3 * MIB - 512, 3 * 4096)]


def test_zeros_in_a_gzip_are_left_out(tmp_path: Path) -> None:
    raw = raw_disk(tmp_path / "raw", 9 * MIB + 512, DATA)
    packed = tmp_path / "raw.gz"
    packed.write_bytes(gzip.compress(raw.read_bytes()))
    with opened_file(packed) as window:
        disk = read_raw(inflated(window).part("raw", 0, 9 * MIB + 512))
        assert runs(disk) == [(0, 65536), (3 * MIB, 65536), (9 * MIB - 65536, 65536)]


@pytest.mark.parametrize(
    ("form", "options"), [("vdi", "static=on"), ("qcow2", "preallocation=metadata"), ("qcow2", "preallocation=falloc")]
)
def test_preallocated_files_are_not_read_whole(form: str, options: str, tmp_path: Path) -> None:
    """All their blocks are in use; the file system knows that most of them are holes."""
    disk = tmp_path / "disk"
    sh("qemu-img", "create", "-q", "-f", form, "-o", options, disk, "4G")
    sh("qemu-io", "-f", form, "-c", "write -P 7 1G 1M", "-c", "write -P 8 3G 4k", disk)
    with opened(disk, form) as found:
        extents = runs(found.disk)
    for start, end in ((2**30, 2**30 + MIB), (3 * 2**30, 3 * 2**30 + 4096)):
        assert any(offset <= start and end <= offset + length for offset, length in extents)
    assert sum(length for _, length in extents) < 2 * MIB


def test_a_file_that_is_no_whole_number_of_sectors_is_refused(tmp_path: Path) -> None:
    raw = raw_disk(tmp_path / "raw", 1000, [])
    with opened_file(raw) as window, pytest.raises(InvalidInputError, match="its size of 1000 bytes"):
        read_raw(window)
