"""Random access to a disk of any format gives the bytes that qemu-img's raw has there."""

import random
from pathlib import Path

import pytest

from provision.disks.extents import Disk, Extent
from provision.disks.inside.view import KEPT, LARGEST, PIECE, View
from provision.disks.source import opened
from provision.disks.window import opened_file
from provision.errors import InvalidInputError
from tests.disks.conftest import MIB, sh

SIZE = 24 * MIB + 512
FORMATS = {
    "raw": [],
    "qcow2": ["-O", "qcow2"],
    "compressed qcow2": ["-O", "qcow2", "-c"],
    "vdi": ["-O", "vdi"],
    "stream": ["-O", "vmdk", "-o", "subformat=streamOptimized"],
}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data at odd places, and holes; more than what is kept of it."""
    path, chance = tmp_path_factory.mktemp("view") / "disk.raw", random.Random(1)  # noqa: S311 - no secret
    with path.open("wb") as stream:
        stream.truncate(SIZE)
        for place in (0, 5 * MIB + 512, 9 * MIB + 3 * 512, 22 * MIB):
            stream.seek(place)
            stream.write(chance.randbytes(MIB + 512) + bytes(3000) + b"text " * 9000)
        stream.seek(SIZE - 512)  # in the last grain, which reaches beyond the end
        stream.write(b"end")
        stream.seek(510)
        stream.write(b"\x55\xaa")  # a VDI that begins with noise alone is taken for an encrypted one
        stream.seek(12 * MIB)
        stream.write(chance.randbytes(KEPT + MIB))
    return path


@pytest.mark.parametrize("form", FORMATS)
def test_every_place_is_as_in_the_raw_disk(form: str, raw: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    if FORMATS[form]:
        sh("qemu-img", "convert", "-f", "raw", *FORMATS[form], raw, disk)
    content, chance = raw.read_bytes(), random.Random(2)  # noqa: S311 - no secret
    with opened(disk if FORMATS[form] else raw, None if FORMATS[form] else "raw") as source:
        view = View(source.disk)
        assert content == b"".join(view.pread(place, min(MIB, view.size - place)) for place in range(0, view.size, MIB))
        assert 0 < view.data < view.size
        for _ in range(300):
            place, length = chance.randrange(SIZE), chance.choice((1, 16, 512, 5000, 70_000))
            assert view.pread(place, min(length, SIZE - place)) == content[place : place + length]


def test_extents_may_come_in_any_order(raw: Path) -> None:
    with opened_file(raw) as window:
        places = [3 * PIECE, 0, 9 * PIECE, PIECE]
        extents = [Extent(place, PIECE, window, PIECE * number, PIECE) for number, place in enumerate(places)]
        view = View(Disk("test", 10 * PIECE, 4 * PIECE, lambda: iter(extents)))
        expected = bytearray(10 * PIECE)
        for extent in extents:
            expected[extent.offset : extent.offset + PIECE] = window.pread(extent.place, PIECE)
        assert view.pread(0, 10 * PIECE) == expected
        assert view.data == 4 * PIECE


def test_parts_are_read_as_one(raw: Path) -> None:
    content = raw.read_bytes()
    with opened(raw, "raw") as source:
        pread = View(source.disk).part((5 * MIB, 1000), (0, 700), (9 * MIB, 5000))
        whole = content[5 * MIB : 5 * MIB + 1000] + content[:700] + content[9 * MIB : 9 * MIB + 5000]
        for place, length in ((0, 6700), (999, 2), (1000, 700), (1699, 1), (6700, 0), (500, 6000)):
            assert pread(place, length) == whole[place : place + length]


@pytest.mark.parametrize(("place", "length"), [(SIZE - 10, 11), (-1, 1), (0, -1), (2**63, 1), (0, LARGEST + 1)])
def test_beyond_the_end_there_is_nothing(place: int, length: int, raw: Path) -> None:
    with opened(raw, "raw") as source:
        view = View(source.disk)
        with pytest.raises(InvalidInputError):
            view.pread(place, length)
        with pytest.raises(InvalidInputError):
            view.part((0, SIZE))(place, length)
