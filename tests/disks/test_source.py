"""What a file is, by its content; and reading where it lies, in a file, a tar, or a gzipped one."""

import gzip
import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.disks.source import opened
from provision.disks.unpack import content
from provision.disks.window import FileWindow, Window, inflated, opened_file
from provision.disks.writers.raw import write_raw
from provision.errors import InvalidInputError
from tests.disks.conftest import MIB
from tests.disks.hostile.seeds import SIZE, header, padded, pax, seed, tar, zipped
from tests.disks.images import FORMATS

WHOLE = {name: form for name, form in FORMATS.items() if not form.several and not name.startswith("raw")}


@pytest.mark.parametrize("name", WHOLE)
def test_content_tells_the_format_and_not_the_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / "disk.vdi.tar.gz"
    path.write_bytes(seed(name))
    with opened(path) as found:
        assert (found.container, found.name) == ("file", path.name)
        assert (found.disk.format, found.disk.size) == (WHOLE[name].shown, SIZE)


def gnu(form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        folder = tarfile.TarInfo("box/")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, whole in (("box/metadata.json", b"{}"), ("long/" * 60 + "ünïcode.vmdk", DISK())):
            member = tarfile.TarInfo(name)
            member.size = len(whole)
            archive.addfile(member, io.BytesIO(whole))
    return out.getvalue()


def DISK() -> bytes:  # noqa: N802  # made when it is first needed
    return seed("vmdk-stream-virtualbox")


ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    "a disk alone": (lambda: tar(("box.img", DISK())), "box"),
    "a disk in the second place": (lambda: tar(("metadata.json", b"{}"), ("x", DISK())), "box"),
    "a disk before other things": (
        lambda: tar(("x", DISK()), ("box.ovf", b"<x/>"), ("Vagrantfile", b"y" * 999)),
        "box",
    ),
    "a machine": (lambda: tar(("machine.ovf", b"<x/>"), ("machine.vmdk", DISK())), "ova"),
    "a box's description first": (lambda: tar(("./box.ovf", b"<x/>"), ("./box.vmdk", DISK())), "box"),
    "GNU": (lambda: gnu(tarfile.GNU_FORMAT), "box"),
    "pax": (lambda: gnu(tarfile.PAX_FORMAT), "box"),
    "pax with a size": (
        lambda: pax(size=str(len(DISK())), mtime="1.5") + header("x") + padded(DISK()) + bytes(1024),
        "box",
    ),
    "pax for all": (lambda: header("g", 11, b"g") + padded(b"11 mtime=1\n") + tar(("x", DISK())), "box"),
    "without an end": (lambda: tar(("x", DISK()))[:-1024], "box"),
    "with one block as the end": (lambda: tar(("x", DISK()))[:-512], "box"),
    "something behind the end": (lambda: tar(("x", DISK())) + b"of no importance", "box"),
}
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda whole: whole,
    "gzipped": zipped,
    "in several gzip members": lambda whole: b"".join(
        gzip.compress(whole[n : n + 9999]) for n in range(0, len(whole), 9999)
    ),
    "gzipped, and filled up with zeros": lambda whole: zipped(whole) + bytes(700),
}


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("case", ARCHIVES)
def test_an_archive_gives_its_disk(case: str, packing: str, tmp_path: Path) -> None:
    make, container = ARCHIVES[case]
    path, alone = tmp_path / "some.file", tmp_path / "alone"
    path.write_bytes(PACKED[packing](make()))
    alone.write_bytes(DISK())
    with opened(path) as found, opened(alone) as disk:
        assert found.container == container
        for _ in range(2):  # each pass reads the archive to its end
            pairs = zip(found.disk.extents(), disk.disk.extents(), strict=True)
            assert all(bytes(content(one)) == bytes(content(two)) for one, two in pairs)


RAW = b"no mark ".ljust(9 * 512, b"x")
MARKED = bytes(510) + b"\x55\xaa" + bytes(8 * 512)
NAMED: dict[str, tuple[bytes, bytes]] = {
    "box.img, by its metadata": (tar(("metadata.json", b'{"provider": "libvirt"}'), ("./box.img", RAW)), RAW),
    "metadata behind it": (tar(("box.img", RAW), ("metadata.json", b'{"provider": "libvirt", "format": "raw"}')), RAW),
    "another name": (
        tar(
            ("metadata.json", b'{"provider": "libvirt", "disks": [{"path": "a.img", "format": "raw"}]}'), ("a.img", RAW)
        ),
        RAW,
    ),
    "a boot image besides": (
        tar(("metadata.json", b'{"provider": "libvirt"}'), ("boot.img", MARKED), ("box.img", RAW)),
        RAW,
    ),
    "no other, by its mark": (tar(("metadata.json", b'{"provider": [}'), ("disk.raw", MARKED)), MARKED),
}


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("case", NAMED)
def test_a_raw_disk_in_a_box(case: str, packing: str, tmp_path: Path) -> None:
    whole, disk = NAMED[case]
    (tmp_path / "box").write_bytes(PACKED[packing](whole))
    with opened(tmp_path / "box") as found, (tmp_path / "raw").open("w+b") as raw:
        assert (found.disk.format, found.disk.size) == ("raw", len(disk))
        write_raw(found.disk, raw.fileno())
        assert raw.read() == disk


def test_what_has_a_boot_sector_is_no_second_disk(tmp_path: Path) -> None:
    for members in ((("boot.iso", MARKED), ("x", DISK())), (("x", DISK()), ("boot.iso", MARKED))):
        (tmp_path / "box").write_bytes(tar(*members))
        with opened(tmp_path / "box") as found:
            assert found.disk.size == SIZE
    (tmp_path / "box").write_bytes(tar(("one.img", MARKED), ("two.img", MARKED)))
    with pytest.raises(InvalidInputError, match=r"more than one disk: one.img and two.img"), opened(tmp_path / "box"):
        pass


def test_a_raw_disk_needs_a_mark_or_a_word(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(b"no mark ".ljust(9 * 512, b"x"))
    with pytest.raises(InvalidInputError, match="no disk that we know"), opened(path):
        pass
    with opened(path, "raw") as found:
        assert (found.disk.format, found.disk.size) == ("raw", 9 * 512)


def test_a_word_does_not_make_it_so(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(seed("vdi"))
    with pytest.raises(InvalidInputError, match="byte 0"), opened(path, "qcow2"):
        pass


# gzip windows

LONG = 150 * MIB  # several points from which a gzip file can be read again
LINE = b"%012d, and again\n"


def lines(start: int, length: int) -> bytes:
    """What stands in the long file: its line n says n."""
    width = len(LINE % 0)
    first = start // width
    text = b"".join(LINE % n for n in range(first, (start + length) // width + 1))
    return text[start - first * width :][:length]


@pytest.fixture(scope="module")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / "file.gz"
    whole = lines(0, LONG)
    with path.open("wb") as stream:
        for start in range(0, LONG, 40 * MIB):  # in members of unequal length
            stream.write(gzip.compress(whole[start : start + 40 * MIB], 1))
    return path


ORDERS: dict[str, list[int]] = {
    "forward": [*range(0, LONG - MIB, 7 * MIB)],
    "backward": [*range(LONG - MIB, 0, -31 * MIB)],
    "to and fro": [0, LONG - 10, 5, 90 * MIB, 89 * MIB, 33 * MIB, LONG - 10, 0],
    "at random": random.Random(5).sample(range(LONG - MIB), 12),  # noqa: S311  # no secret
}


@pytest.mark.parametrize("order", ORDERS)
def test_a_gzip_file_is_read_anywhere(order: str, long_file: Path) -> None:
    with opened_file(long_file) as file:
        window = inflated(file)
        for place in ORDERS[order]:
            length = min(70_000, LONG - place)
            assert window.pread(place, length) == lines(place, length)


@pytest.mark.parametrize(("place", "length"), [(LONG - 5, 6), (LONG, 1), (2**62, 1), (-1, 1), (0, -1), (2**63 - 1, 2)])
def test_beyond_the_end_of_a_gzip_file(place: int, length: int, long_file: Path) -> None:
    with opened_file(long_file) as file, pytest.raises(InvalidInputError, match=f"at byte {place} are wanted"):
        inflated(file).pread(place, length)


@pytest.mark.parametrize("what", ["pread", "part"])
@pytest.mark.parametrize(("place", "length"), [(95, 6), (100, 1), (2**62, 1), (2**64, 1), (-1, 1), (0, -1), (0, 2**64)])
def test_beyond_the_end_of_a_window(place: int, length: int, what: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(200)))
    with opened_file(tmp_path / "file") as file:
        window: Window = file.part("some", 50, 100)
        assert window.part("less", 10, 5).pread(1, 3) == bytes([61, 62, 63])
        with pytest.raises(InvalidInputError, match=f"some is cut off or wrong: {length} bytes at byte {place}"):
            window.pread(place, length) if what == "pread" else window.part("more", place, length)


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(1000))
    with opened_file(tmp_path / "file") as file:
        assert isinstance(file, FileWindow)
        (tmp_path / "file").write_bytes(bytes(300))
        with pytest.raises(InvalidInputError, match="is cut off"):
            file.pread(100, 500)
