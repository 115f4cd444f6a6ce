"""Shrinking: the data, the identifiers and the boot code survive, and what cannot be shrunk is refused untouched."""

import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from provision.disks.resize.shrink import check_shrinkable, check_source, shrink
from provision.disks.resize.table import Table, gpt_is_sound, read_table
from provision.disks.source import opened
from provision.errors import InvalidInputError
from provision.progress import Phase, Silent
from provision.workflows.convert import Wish, convert_image
from tests.disks.conftest import (
    BOOT,
    DATA,
    EXT4_UUID,
    MIB,
    SWAP_UUID,
    Fill,
    Machine,
    boot,
    data_of,
    ext4,
    free_of,
    lvm,
    make_machine,
    probe,
    sh,
    swap,
    write_at,
)

BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
MACHINES = {
    "mbr": Machine("label: dos\nstart=2048, type=83, bootable", {1: ext4}),
    "mbr, root at sector 63": Machine("label: dos\nstart=63, size=307200, type=83, bootable", {1: ext4}),
    "mbr, swap behind the root": Machine(
        "label: dos\nstart=2048, size=150MiB, type=83, bootable\nsize=32MiB, type=82", {1: ext4, 2: swap}
    ),
    "mbr, swap in an extended partition": Machine(
        "label: dos\nstart=2048, size=305152, type=83, bootable\nstart=309246, size=65538, type=5\n"
        "start=309248, size=65536, type=82",
        {1: ext4, 5: swap},
    ),
    "mbr, all in an extended partition": Machine(
        "label: dos\n1 : start=2048, size=16384, type=83\n2 : start=18432, size=390000, type=f\n"
        "5 : start=20480, size=4096\n6 : start=26624, size=300000, type=83\n7 : start=329728, size=65536, type=82\n",
        {6: ext4, 7: swap},
    ),
    "mbr, swap before the root": Machine("label: dos\nsize=32MiB, type=82\nsize=150MiB, type=83", {1: swap, 2: ext4}),
    "gpt, swap behind the root": Machine(
        f'label: gpt\nsize=1MiB, type={BIOS_BOOT}\nsize=150MiB, type=L, name="the root", attrs="LegacyBIOSBootable"\n'
        "size=32MiB, type=S",
        {1: boot, 2: ext4, 3: swap},
    ),
    "gpt, nothing behind the root": Machine(f"label: gpt\nsize=1MiB, type={BIOS_BOOT}\ntype=L", {1: boot, 2: ext4}),
    "no table": Machine("", {0: ext4}),
}


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder on a file system that cannot move the start of a file."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        yield Path(place)


def places_of(disk: Path, machine: Machine) -> dict[Fill, tuple[int, int]]:
    places = {each.number: (each.start, each.size) for each in read_table(disk).partitions}
    return {fill: places[number] for number, fill in machine.contents.items()}


def check_chain(table: Table) -> None:
    """What leads from one logical partition to the next says where that ends, and stays in the container."""
    container = next((each for each in table.partitions if table.is_extended(each)), None)
    ends = [0, *sorted(each.end for each in table.partitions if table.is_logical(each))]
    for number, sector in enumerate(table.sectors[1:], 2):
        start, size = struct.unpack_from("<II", sector.content, 446 + 16 + 8)
        assert container
        assert not size or container.start + (start + size) * 512 == ends[number]


def check_survives(machine: Machine, folder: Path) -> None:
    disk = make_machine(folder / "disk", machine)
    table, code = read_table(disk), disk.read_bytes()[:440]
    assert shrink(disk, headroom=10 * MIB) == disk.stat().st_size < 110 * MIB
    after = read_table(disk)
    assert (after.label, after.identifier) == (table.label, table.identifier)
    facts = [(each.number, each.facts) for each in table.partitions]
    assert [(each.number, each.facts) for each in after.partitions] == facts
    if table.label != "none":
        assert disk.read_bytes()[:440] == code
        assert "no errors" in sh("sfdisk", "--verify", disk).lower()
    if table.label == "gpt":
        assert gpt_is_sound(disk)
    check_chain(after)
    places = places_of(disk, machine)
    assert probe(disk, *places[ext4]) == ("ext4", EXT4_UUID)
    assert data_of(disk, places[ext4][0]) == DATA
    assert free_of(disk, places[ext4][0]) >= 10 * MIB
    if swap in places:
        assert probe(disk, *places[swap]) == ("swap", SWAP_UUID)
        assert places[swap][1] == next(e.size for e in table.partitions if machine.contents.get(e.number) is swap)
    if boot in places:
        assert disk.read_bytes()[places[boot][0] :][: len(BOOT)] == BOOT
    assert list(folder.iterdir()) == [disk]


@pytest.mark.parametrize("name", MACHINES)
def test_all_but_the_size_stays(name: str, tmp_path: Path) -> None:
    check_survives(MACHINES[name], tmp_path)


@pytest.mark.parametrize("name", ["gpt, swap behind the root", "mbr, swap in an extended partition"])
def test_any_file_system_will_do(name: str, elsewhere: Path) -> None:
    check_survives(MACHINES[name], elsewhere)


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    disk = make_machine(tmp_path / "disk", MACHINES["gpt, swap behind the root"])
    size = shrink(disk, headroom=10 * MIB)
    table = read_table(disk)
    assert shrink(disk, headroom=10 * MIB) == size
    assert read_table(disk).partitions == table.partitions


def test_a_question_mark_in_a_folder_begins_no_options(tmp_path: Path) -> None:
    disk = make_machine(tmp_path / "disk", MACHINES["mbr"])
    folder = tmp_path / "what?offset=1"
    folder.mkdir()
    shrink(disk.rename(folder / "disk"), headroom=0)
    assert data_of((folder / "disk").rename(disk), MIB) == DATA


def test_few_inodes_need_no_empty_groups(tmp_path: Path) -> None:
    disk = make_machine(tmp_path / "disk", Machine("label: gpt\ntype=L", {1: ext4}, size=20_000))
    assert shrink(disk, headroom=0) < 300 * MIB  # `resize2fs -M` leaves 2 GiB
    assert data_of(disk, MIB) == DATA


def test_deleted_files_are_not_kept(tmp_path: Path) -> None:
    disk = make_machine(tmp_path / "disk", MACHINES["mbr"])
    assert disk.stat().st_blocks * 512 > 50 * MIB
    shrink(disk, headroom=100 * MIB)
    assert disk.stat().st_blocks * 512 < 28 * MIB


def test_a_disk_never_grows(tmp_path: Path) -> None:
    for name in ("mbr, swap in an extended partition", "gpt, nothing behind the root"):
        disk = make_machine(tmp_path / "disk", MACHINES[name])
        before = disk.stat().st_size
        assert shrink(disk, headroom=10_000 * MIB) <= before
        assert data_of(disk, places_of(disk, MACHINES[name])[ext4][0]) == DATA


def mark(*marks: tuple[int, str]) -> Fill:
    """What makes blkid believe that there is a filesystem."""

    def fill(disk: Path, start: int, _size: int) -> None:
        for place, content in marks:
            write_at(disk, start + place, bytes.fromhex(content))

    return fill


def damaged(disk: Path, start: int, size: int) -> None:
    ext4(disk, start, size)
    sh("debugfs", "-w", "-R", "clri /", f"{disk}?offset={start}")


XFS = (
    "58465342 00001000 0000000000019000 00000000000000000000000000000000 711590145f4a4c0ca3298479559516f0"
    "0000000000010006 0000000000000080 0000000000000081 0000000000000082 00000001 00006400 00000004 00000000"
    "00004000 b4a5 0200 0200 0008 000000000000000000000000 0c0909030f000019"
)
ZFS = [(2**17 + 1024 * each, "0cb1ba0000000000 8813000000000000 0100000000000000") for each in range(20)]
REFUSED: dict[str, tuple[Machine, str]] = {
    "xfs": (Machine("label: gpt\ntype=L", {1: mark((0, XFS))}), "partition 1 holds XFS"),
    "btrfs": (Machine("label: dos\ntype=83", {1: mark((2**16 + 64, b"_BHRfS_M".hex()))}), "partition 1 holds btrfs"),
    "luks behind the root": (
        Machine("label: dos\nsize=100MiB\ntype=83", {1: ext4, 2: mark((0, b"LUKS\xba\xbe\0\1".hex()))}),
        "partition 2 holds an encrypted disk",
    ),
    "zfs": (Machine("label: gpt\ntype=L", {1: mark(*ZFS)}), "partition 1 holds ZFS"),
    "a hibernated machine": (
        Machine("label: gpt\nsize=100MiB\ntype=S", {1: ext4, 2: mark((4086, b"S1SUSPEND".hex()))}),
        "partition 2 holds a machine's hibernated memory",
    ),
    "something behind the root": (
        Machine("label: gpt\nsize=100MiB\ntype=L", {1: ext4, 2: boot}),
        "partition 2 holds data of an unknown kind",
    ),
    "nothing": (Machine("label: gpt\ntype=L", {}), "no filesystem"),
    "no table": (Machine("", {}), "no filesystem"),
    "a table of another kind": (Machine("label: sun\nsize=100MiB", {}), "of type sun"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_shrunk_is_refused(name: str, tmp_path: Path) -> None:
    machine, reason = REFUSED[name]
    disk = make_machine(tmp_path / "disk", machine)
    before = disk.read_bytes()
    for refuses in (check_shrinkable, lambda disk: shrink(disk, headroom=0)):
        with pytest.raises(InvalidInputError, match=reason) as caught:
            refuses(disk)
        assert caught.value.hint
    assert disk.read_bytes() == before


class Said(Silent):
    """Keeps the names of the phases."""

    def __init__(self) -> None:
        self.phases: list[str] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        self.phases.append(name)
        with super().phase(name) as phase:
            yield phase


ON_LVM = Machine("label: gpt\ntype=V", {1: lvm("lvcreate -l 100%FREE -n root vg", root=mark((0, XFS)))})
SEEN = {name: REFUSED[name] for name in ("xfs", "btrfs", "luks behind the root")}
SEEN["xfs on lvm"] = (ON_LVM, r"The volume group vg has no volume with ext4 \(root: XFS\)")


@pytest.mark.parametrize("form", [["raw"], ["vmdk", "-o", "subformat=streamOptimized"]], ids=["raw", "vmdk"])
@pytest.mark.parametrize("name", SEEN)
def test_what_is_seen_in_a_source_is_refused_before_it_is_written(name: str, form: list[str], tmp_path: Path) -> None:
    machine, reason = SEEN[name]
    disk, said = make_machine(tmp_path / "disk", machine), Said()
    sh("qemu-img", "convert", "-f", "raw", "-O", *form, disk, tmp_path / "source")
    with pytest.raises(InvalidInputError, match=reason) as caught:
        convert_image(tmp_path / "source", tmp_path / "target", Wish(headroom=0), said)
    assert said.phases == []
    with pytest.raises(InvalidInputError) as later:
        check_shrinkable(disk)
    assert (caught.value.message, caught.value.hint) == (later.value.message, later.value.hint)


@pytest.mark.parametrize("name", MACHINES)
def test_what_can_be_shrunk_is_not_refused_in_the_source(name: str, tmp_path: Path) -> None:
    with opened(make_machine(tmp_path / "disk", MACHINES[name]), "raw") as source:
        check_source(source.disk)


def test_a_damaged_filesystem_is_refused(tmp_path: Path) -> None:
    disk = make_machine(tmp_path / "disk", Machine("label: dos\ntype=83", {1: damaged}))
    with pytest.raises(InvalidInputError, match="damaged beyond"):
        shrink(disk, headroom=0)


@pytest.mark.parametrize(
    ("size", "reason"), [(204800, "1 and 2 of the disk overlap at byte 53477376"), (409600, "at byte 210763776")]
)
def test_a_wrong_table_is_refused(size: int, reason: str, tmp_path: Path) -> None:
    script = "label: dos\nsize=50MiB, type=83\n" + ("size=50MiB, type=83\n" if size < 400000 else "")
    disk = make_machine(tmp_path / "disk", Machine(script, {}))
    write_at(disk, 446 + 12, struct.pack("<I", size))
    with pytest.raises(InvalidInputError, match=reason):
        check_shrinkable(disk)
