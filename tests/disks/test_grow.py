"""A disk that is full is given more room."""

from pathlib import Path

import pytest

from provision.disks.resize.grow import ensure_free
from provision.disks.resize.table import gpt_is_sound, read_table
from provision.errors import InvalidInputError
from tests.disks.conftest import DATA, MIB, Machine, boot, data_of, ext4, free_of, lvm, make_machine, swap

SOUND = {
    "one partition": (Machine("label: dos\nsize=100MiB, type=83, bootable", {1: ext4}), 1),
    "behind another": (Machine("label: gpt\nsize=8MiB\nsize=100MiB", {1: boot, 2: ext4}), 2),
    "the whole disk": (Machine("", {0: ext4}, size=100), 0),
}


@pytest.mark.parametrize("name", SOUND)
def test_it_is_enlarged_and_keeps_its_data(name: str, tmp_path: Path) -> None:
    machine, number = SOUND[name]
    disk = make_machine(tmp_path / "disk", machine)
    before = disk.stat().st_blocks * 512
    head = disk.read_bytes()[:440] if machine.script else b""
    assert ensure_free(disk, 900 * MIB, least=MIB) > 700 * MIB
    table = read_table(disk)
    start = next(each.start for each in table.partitions if each.number == number)
    assert free_of(disk, start) > 890 * MIB
    assert data_of(disk, start) == DATA
    assert disk.read_bytes()[: len(head)] == head
    assert disk.stat().st_blocks * 512 < before + 40 * MIB  # the room costs nothing
    assert table.label != "gpt" or gpt_is_sound(disk)
    assert ensure_free(disk, 880 * MIB, least=MIB) == 0


ROOT = "lvcreate -L 100M -n root vg"
FIXED = {
    "swap behind it": Machine("label: dos\nsize=100MiB, type=83\nsize=8MiB, type=82", {1: ext4, 2: swap}),
    "on LVM": Machine("label: gpt\nsize=8MiB\ntype=lvm", {1: boot, 2: lvm(ROOT, root=ext4)}),
}


@pytest.mark.parametrize("name", FIXED)
def test_where_it_cannot_be_enlarged_it_is_refused_only_when_full(name: str, tmp_path: Path) -> None:
    disk = make_machine(tmp_path / "disk", FIXED[name])
    before = disk.read_bytes()
    assert ensure_free(disk, 900 * MIB, least=10 * MIB) == 0
    with pytest.raises(InvalidInputError, match="disk is full"):
        ensure_free(disk, 900 * MIB, least=500 * MIB)
    assert disk.read_bytes() == before
