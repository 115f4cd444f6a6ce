"""Partition tables that sfdisk wrote, sound and damaged."""

import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.disks.inside.partitions import PartitionTable, read_partitions
from provision.disks.inside.view import View
from provision.disks.source import opened
from tests.disks.conftest import MIB, sh

SIZE = 64 * MIB
LAST = SIZE - 512
SCRIPTS = {
    "one": ("dos", "start=2048, type=83, bootable"),
    "logical": (
        "dos",
        "1: size=4M, type=83\n2: size=30M, type=5\n5: size=4M, type=82\n6: size=5M, type=83\n7: size=6M, type=8e",
    ),
    "swap last": ("dos", "size=40M, type=83\ntype=82"),
    "gpt": ("gpt", "size=1M, type=21686148-6449-6E6F-744E-656564454649\nsize=9M, type=U, name=boot\ntype=L"),
}
KINDS = {
    "one": ["Linux"],
    "logical": ["Linux", "extended", "Linux swap", "Linux", "Linux LVM"],
    "swap last": ["Linux", "Linux swap"],
    "gpt": ["BIOS boot", "EFI system", "Linux"],
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A disk for each of `SCRIPTS`."""
    folder = tmp_path_factory.mktemp("tables")
    for name, (label, script) in SCRIPTS.items():
        with (folder / name).open("wb") as stream:
            stream.truncate(SIZE)
        sh("sfdisk", "--quiet", "--label", label, folder / name, stdin=script)
    return {name: folder / name for name in SCRIPTS}


@pytest.fixture
def disk(tmp_path: Path, tables: dict[str, Path], request: pytest.FixtureRequest) -> Path:
    """A disk of one's own, of the kind that the parameter `name` says, GPT if there is none."""
    name = request.node.callspec.params.get("name", "gpt") if hasattr(request.node, "callspec") else "gpt"
    return shutil.copyfile(tables[name], tmp_path / "disk")


def read(disk: Path) -> PartitionTable:
    with opened(disk, "raw") as source:
        return read_partitions(View(source.disk))


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_is_what_sfdisk_says(name: str, disk: Path) -> None:
    found = read(disk)
    said = json.loads(sh("sfdisk", "--json", disk))["partitiontable"]
    assert found.label == said["label"]
    assert found.notes == ()
    assert [part.kind for part in found.partitions] == KINDS[name]
    assert [(f"{disk}{part.number}", part.start, part.size, part.bootable, part.name) for part in found.partitions] == [
        (each["node"], each["start"] * 512, each["size"] * 512, each.get("bootable", False), each.get("name", ""))
        for each in said["partitions"]
    ]


def write(place: int, what: bytes) -> Callable[[Path], None]:
    def change(disk: Path) -> None:
        with disk.open("r+b") as stream:
            stream.seek(place)
            stream.write(what)

    return change


def cut(disk: Path) -> None:
    with disk.open("r+b") as stream:
        stream.truncate(30 * MIB)


def chained(disk: Path, code: bytes = b"\x05") -> None:
    """Let the first logical partition's table lead back to itself."""
    start = read(disk).partitions[1].start
    write(start + 446 + 16, b"\0\0\0\0" + code + b"\0\0\0" + bytes(4) + b"\1\0\0\0")(disk)


# What is done to which disk; the label and the number of partitions that are found, and words of the notes.
DAMAGED = [
    ("one", write(510, b"\0\0"), "none", 0, ""),
    ("one", write(446, b"boot"), "none", 0, ""),
    ("one", cut, "dos", 1, "ends at byte"),
    ("logical", chained, "dos", 3, "leads back"),
    ("logical", write(5 * MIB + 510, b"\0\0"), "dos", 2, "breaks off at byte 5242880"),
    ("gpt", write(512, b"x"), "gpt", 3, "first GPT header at byte 512 is of no use: it is none"),
    ("gpt", write(600, b"x"), "gpt", 3, "its checksum is wrong"),
    ("gpt", write(1024, b"x"), "gpt", 3, "checksum of its entries"),
    ("gpt", write(LAST, b"x"), "gpt", 3, f"backup GPT header at byte {LAST} is of no use"),
    ("gpt", cut, "gpt", 3, "ends at byte"),
    ("gpt", write(446, bytes(16)), "gpt", 3, "no protective MBR"),
    ("gpt", write(450, b"\x83"), "dos", 1, ""),
    ("gpt", write(0, bytes(512)), "none", 0, ""),
    ("gpt", write(446 + 16, b"\0\0\0\0\x83\0\0\0\0\1\0\0\1\0\0\0"), "gpt", 3, "hybrid"),
]


@pytest.mark.parametrize(("name", "change", "label", "count", "words"), DAMAGED)
def test_a_damaged_table_is_read_as_far_as_possible(
    name: str, change: Callable[[Path], None], label: str, count: int, words: str, disk: Path
) -> None:
    change(disk)
    found = read(disk)
    assert (found.label, len(found.partitions)) == (label, count)
    assert words in " ".join(found.notes)


def test_both_headers_gone(disk: Path) -> None:
    write(512, bytes(512))(disk)
    write(LAST, bytes(512))(disk)
    found = read(disk)
    assert (found.label, found.partitions) == ("gpt", ())
    assert "no use" in found.notes[0]


@pytest.mark.parametrize("field", range(0, 92, 4))
def test_a_header_that_lies_is_refused(field: int, disk: Path) -> None:
    """Sums that fit a lie: sizes and places are checked before they are used."""
    header = bytearray(disk.read_bytes()[512:1024])
    header[field : field + 4] = b"\xff\xff\xff\xff"
    header[16:20] = bytes(4)
    header[16:20] = zlib.crc32(header[:92]).to_bytes(4, "little")
    write(512, bytes(header))(disk)
    assert len(read(disk).partitions) == 3
