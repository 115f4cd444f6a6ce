"""LVM: what its own tools made is read, what we wrote is read by its own tools, and what cannot be moved is refused."""

import contextlib
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.disks.inside.lvm import VolumeGroup, checksum, integer, read_volumes, subsection
from provision.disks.inside.lvmtext import Section, Value, parse, written
from provision.disks.resize.shrink import check_shrinkable, shrink
from provision.disks.resize.table import read_table
from provision.disks.window import opened_file
from provision.errors import InvalidInputError
from tests.disks.conftest import (
    DATA,
    EXT4_UUID,
    MIB,
    SWAP_UUID,
    Machine,
    boot,
    data_of,
    ext4,
    free_of,
    lvm,
    make_machine,
    probe,
    swap,
    volume_group,
)

GPT = "label: gpt\nsize=1MiB, type=21686148-6449-6E6F-744E-656564454649\ntype=lvm\n"
ROOT, SWAP = "lvcreate -L 100M -n root vg", "lvcreate -L 16M -n swap_1 vg"
LOGICAL = (
    "label: dos\nstart=2048, size=16384, type=83, bootable\nstart=20478, size=380000, type=5\nstart=20480, type=8e"
)
MACHINES = {
    "root, then swap": Machine(GPT, {1: boot, 2: lvm(ROOT, SWAP, root=ext4, swap_1=swap)}),
    "swap, then root": Machine(GPT, {1: boot, 2: lvm(SWAP, ROOT, root=ext4, swap_1=swap)}),
    "in a logical partition": Machine(LOGICAL, {1: boot, 5: lvm(ROOT, SWAP, root=ext4, swap_1=swap)}),
    "on the whole disk": Machine("", {0: lvm(ROOT, SWAP, root=ext4, swap_1=swap)}),
    "root in two pieces": Machine(GPT, {2: lvm(ROOT, SWAP, "lvextend -L +40M vg/root", root=ext4, swap_1=swap)}),
    "a hole, another volume, a second metadata area": Machine(
        GPT,
        {
            2: lvm(
                "lvcreate -L 8M -n gone vg", ROOT, "lvcreate -L 12M -n other vg", SWAP, "lvremove vg/gone",
                copies=2, root=ext4, other=boot, swap_1=swap,
            )
        },
    ),
}  # fmt: skip


def pv_of(disk: Path) -> tuple[int, int]:
    last = max(read_table(disk).partitions, key=lambda each: each.start)
    return last.start, last.size


def group_of(disk: Path) -> VolumeGroup:
    with opened_file(disk) as window:
        return read_volumes(window, *pv_of(disk))


@pytest.mark.parametrize("name", MACHINES)
def test_volumes_are_where_lvm_says(name: str, tmp_path: Path) -> None:
    disk = make_machine(tmp_path / "disk", MACHINES[name])
    start, size = pv_of(disk)
    with volume_group(disk, start, size) as group:
        expected = {each: [(start + place, size) for place, size in runs] for each, runs in group.pieces().items()}
        uuid = group.lvm("vgs", "--noheadings", "-o", "vg_uuid").strip()
    found = group_of(disk)
    assert (found.name, found.uuid) == ("vg", uuid)
    assert {volume.name: list(volume.runs) for volume in found.volumes} == expected


@pytest.mark.parametrize("name", MACHINES)
def test_all_but_the_size_stays(name: str, tmp_path: Path) -> None:
    disk = make_machine(tmp_path / "disk", MACHINES[name])
    before, table = group_of(disk), read_table(disk)
    assert shrink(disk, headroom=10 * MIB) == disk.stat().st_size < 120 * MIB
    start, size = pv_of(disk)
    text = group_of(disk).text
    assert integer(subsection(text, "vg", 0), "seqno", 0) == integer(subsection(before.text, "vg", 0), "seqno", 0) + 1
    with volume_group(disk, start, size) as group:
        assert f"device_size {size}" in group.dump("headers")
        assert f"dev_size = {size // 512}\n" in group.dump("metadata")
        assert "WARNING" not in group.lvm("vgck", "vg").replace("WARNING: Activation disabled", "")
        assert "WARNING" not in group.lvm("pvck", group.device)
        pieces = group.pieces()
        assert group.lvm("pvs", "--noheadings", "-o", "pv_free,pv_uuid").split()[0] == "0"
        group.lvm("vgchange", "--addtag", "changed", "vg")  # LVM itself can write behind our metadata
    after = group_of(disk)
    assert subsection(after.text, "vg", 0)["tags"] == ["changed"]
    assert [(each.name, each.uuid) for each in after.volumes] == [(each.name, each.uuid) for each in before.volumes]
    assert (after.uuid, after.physical_volume.uuid) == (before.uuid, before.physical_volume.uuid)
    assert [each.facts for each in read_table(disk).partitions] == [each.facts for each in table.partitions]
    ((root, length),) = pieces["root"]
    assert data_of(disk, start + root) == DATA
    assert free_of(disk, start + root) >= 10 * MIB
    assert probe(disk, start + root, length) == ("ext4", EXT4_UUID)
    ((place, length),) = pieces["swap_1"]
    assert probe(disk, start + place, length) == ("swap", SWAP_UUID)


@pytest.fixture(scope="module")
def metadata(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The first MiB of a physical volume of 64 MiB: label, metadata area."""
    disk = make_machine(
        tmp_path_factory.mktemp("lvm") / "disk",
        Machine("", {0: lvm("lvcreate -L 8M -n root vg", "lvcreate -L 8M -n home vg")}, size=64),
    )
    return disk.read_bytes()[:MIB]


def read_from(content: bytes, tmp_path: Path) -> VolumeGroup:
    disk = tmp_path / "disk"
    disk.write_bytes(content)
    with disk.open("r+b") as stream:
        stream.truncate(64 * MIB)
    with opened_file(disk) as window:
        return read_volumes(window, 0, 64 * MIB)


def with_text(metadata: bytes, change: Callable[[str], str]) -> bytes:
    """The metadata with another text, and the checksums right."""
    content = bytearray(metadata)
    place, size = struct.unpack_from("<QQ", content, 4096 + 40)
    text = change(content[4096 + place : 4096 + place + size].decode().rstrip("\0")).encode() + b"\0"
    content[4096 + place : 4096 + place + len(text)] = text
    struct.pack_into("<QQI", content, 4096 + 40, place, len(text), checksum(text))
    return with_sum(bytes(content), 4096, 4, 512)


def with_sum(content: bytes, start: int, skipped: int, size: int) -> bytes:
    where = start if skipped == 4 else start + 16
    return content[:where] + struct.pack("<I", checksum(content[start + skipped : start + size])) + content[where + 4 :]


def patched(content: bytes, place: int, new: bytes) -> bytes:
    return content[:place] + new + content[place + len(new) :]


def text_case(old: str, new: str) -> Callable[[bytes], bytes]:
    return lambda metadata: with_text(metadata, lambda text: re.sub(old, new, text, count=1, flags=re.DOTALL))


def label_case(place: int, new: bytes) -> Callable[[bytes], bytes]:
    return lambda metadata: with_sum(patched(metadata, 512 + place, new), 512, 20, 512)


def area_case(place: int, new: bytes) -> Callable[[bytes], bytes]:
    return lambda metadata: with_sum(patched(metadata, 4096 + place, new), 4096, 4, 512)


WRONG: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "no label": (lambda metadata: bytes(MIB), "at byte 0 of the disk has no label"),
    "a label's checksum": (lambda metadata: patched(metadata, 512 + 40, b"X"), "at byte 512 of the disk has a damaged"),
    "a label without areas": (label_case(32 + 40 + 32, bytes(16)), "keeps no metadata"),
    "an area beyond the end": (label_case(32 + 40 + 32, struct.pack("<QQ", 2**62, 2**20)), "does not lie in it"),
    "an area that is too large": (label_case(32 + 40 + 40, struct.pack("<Q", 2**62)), "does not lie in it"),
    "an area's checksum": (lambda metadata: patched(metadata, 4096 + 100, b"X"), "byte 4096 .* damaged metadata area"),
    "an area that is elsewhere": (area_case(24, struct.pack("<Q", 8192)), "damaged metadata area"),
    "a text that is elsewhere": (area_case(40, struct.pack("<Q", 2**40)), "points outside of itself"),
    "a text that is too long": (area_case(48, struct.pack("<Q", 2**40)), "points outside of itself"),
    "a text's checksum": (area_case(56, b"XXXX"), "has damaged metadata"),
    "a text that is none": (text_case("seqno = ", "seqno ! "), "byte [0-9]+ of its text makes no sense"),
    "a section without an end": (text_case(r"\}\n#.*", ""), "makes no sense"),
    "sections without end": (text_case("vg {", "a { " * 100), "makes no sense"),
    "no group": (text_case(".*", "version = 1"), "without a volume group"),
    "no number": (text_case("seqno = [0-9]+", 'seqno = "one"'), "without seqno"),
    "no volumes": (text_case("physical_volumes", "others"), "without physical_volumes"),
    "another's volume": (text_case('pv0 {\nid = "......', 'pv0 {\nid = "XXXXXX'), "no part of its own volume group"),
    "no extent size": (text_case("extent_size = 8192", "extent_size = 0"), "extents that do not lie in it"),
    "too many extents": (text_case("pe_count = [0-9]+", "pe_count = 9999"), "extents that do not lie in it"),
    "a volume beyond the end": (text_case("extent_count = 2", "extent_count = 99"), "volume that does not lie in it"),
    "a volume at a word": (text_case('"pv0", 0', '"pv0", "X"'), "volume that does not lie in it"),
    "volumes that overlap": (text_case('"pv0", 2', '"pv0", 1'), "volumes that overlap"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_makes_no_sense_is_refused(name: str, metadata: bytes, tmp_path: Path) -> None:
    change, reason = WRONG[name]
    assert len(read_from(metadata, tmp_path).volumes) == 2
    with pytest.raises(InvalidInputError, match=reason):
        read_from(change(metadata), tmp_path)


CANNOT = {
    "striped": (text_case("stripe_count = 1", "stripe_count = 2"), "vg/root is of type striped"),
    "thin": (text_case('type = "striped"', 'type = "thin"'), "vg/root is of type thin"),
    "two disks": (
        text_case("physical_volumes {", 'physical_volumes {\npv1 {\nid = "another"\n}'),
        "vg has 2 physical volumes",
    ),
    "no ext4": (lambda metadata: metadata, "vg has no volume with ext4 .root: nothing, home: nothing"),
}


@pytest.mark.parametrize("name", CANNOT)
def test_what_cannot_be_moved_is_refused(name: str, metadata: bytes, tmp_path: Path) -> None:
    change, reason = CANNOT[name]
    read_from(change(metadata), tmp_path)
    before = (tmp_path / "disk").read_bytes()
    with pytest.raises(InvalidInputError, match=reason):
        check_shrinkable(tmp_path / "disk")
    assert (tmp_path / "disk").read_bytes() == before


WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789_.-+", min_size=1)
VALUES: st.SearchStrategy[Value] = st.recursive(
    st.integers(-(10**18), 10**18) | st.text() | st.lists(st.integers(0, 10**18) | st.text(max_size=9)),
    lambda inner: st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(WORDS, VALUES))
def test_text_survives_the_way_there_and_back(section: Section) -> None:
    assert parse(written(section), "it") == section


@given(st.lists(st.sampled_from([*'{}[]=,#"\\', "a", "1", " ", "\n", "-", '"a"', "a = 1\n", "a {\n"])).map("".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidInputError):
        assert isinstance(parse(text, "it"), dict)
