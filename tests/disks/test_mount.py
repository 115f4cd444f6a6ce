"""Mounting a disk, and letting go of one that a killed run left behind."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from provision.disks.resize.mount import mounted, release
from provision.disks.resize.shrink import shrink
from provision.errors import InvalidInputError
from tests.disks.conftest import EXT4_UUID, MIB, Machine, boot, ext4, lvm, make_machine, sh, swap

HOLD = """
import sys, time
from pathlib import Path
from provision.disks.resize.mount import mounted
with mounted(Path(sys.argv[1]), Path(sys.argv[2])):
    print("mounted", flush=True)
    time.sleep(600)
"""


ROOT, HOME = "lvcreate -L 60M -n root vg", "lvcreate -L 80M -n home vg"
VOLUMES = Machine("label: gpt\nsize=8MiB\ntype=lvm", {1: boot, 2: lvm(ROOT, HOME, root=ext4)})
MACHINES = {
    "alone": Machine("label: dos\nsize=100MiB, type=83", {1: ext4}),
    "swap behind it": Machine("label: gpt\nsize=100MiB, type=L\nsize=8MiB, type=S", {1: ext4, 2: swap}),
    "in an extended partition": Machine(
        "label: dos\n1 : start=2048, size=16384\n2 : start=18432, size=300000, type=5\n5 : start=20480, size=204800\n",
        {5: ext4},
    ),
    "the whole disk": Machine("", {0: ext4}),
    "a volume": VOLUMES,
    "a volume of a whole disk": Machine("", {0: lvm(ROOT, root=ext4)}),
}


def left(folder: Path) -> bool:
    aliases = list(Path("/dev").glob("provision-loop*"))
    mounts, loops = Path("/proc/self/mounts").read_text(), sh("losetup", "--list")
    return str(folder) in mounts or str(folder) in loops or any(alias.name[10:] in loops for alias in aliases)


@pytest.mark.parametrize("name", MACHINES)
def test_the_root_is_found_and_nothing_stays(name: str, tmp_path: Path) -> None:
    with mounted(make_machine(tmp_path / "disk", MACHINES[name]), tmp_path / "root") as disk:
        assert (disk.root / "data").stat().st_size == 20 * MIB
        assert disk.uuid == EXT4_UUID
        assert disk.partition.is_block_device()
    assert not left(tmp_path)
    assert not disk.partition.name.startswith("provision") or not disk.partition.exists()


def test_a_larger_filesystem_is_not_taken_for_the_root(tmp_path: Path) -> None:
    disk = make_machine(tmp_path / "disk", Machine("label: gpt\nsize=60MiB\nsize=90MiB", {1: ext4, 2: home}))
    with mounted(disk, tmp_path / "root") as found:
        assert found.partition.name.endswith("p1")


def test_a_volume_in_pieces_is_mounted_when_it_is_in_one(tmp_path: Path) -> None:
    scattered = lvm("lvcreate -L 60M -n root vg", "lvcreate -L 8M -n x vg", "lvextend -L +8M vg/root", root=ext4)
    disk = make_machine(tmp_path / "disk", Machine("", {0: scattered}))
    with pytest.raises(InvalidInputError, match=r"root of .* lies in 2 pieces"), mounted(disk, tmp_path / "root"):
        pass
    shrink(disk, headroom=MIB)
    with mounted(disk, tmp_path / "root") as found:
        assert (found.root / "data").stat().st_size == 20 * MIB
    assert not left(tmp_path)


def test_a_disk_without_filesystem_is_refused(tmp_path: Path) -> None:
    disk = make_machine(tmp_path / "disk", Machine("label: gpt\ntype=S", {1: swap}))
    with pytest.raises(InvalidInputError, match="holds no system"), mounted(disk, tmp_path / "root"):
        pass
    assert not (tmp_path / "root").exists()


def home(disk: Path, start: int, size: int) -> None:
    sh("mkfs.ext4", "-q", "-F", "-E", f"offset={start}", disk, f"{size // 1024}k")


@pytest.mark.parametrize("name", ["alone", "a volume"])
def test_what_a_killed_run_left_is_let_go(name: str, tmp_path: Path) -> None:
    disk = make_machine(tmp_path / "disk", MACHINES[name])
    command = [sys.executable, "-c", HOLD, str(disk), str(tmp_path / "root")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "mounted\n"
        holder.send_signal(signal.SIGKILL)
    assert left(tmp_path)
    release(tmp_path)
    assert not left(tmp_path)
