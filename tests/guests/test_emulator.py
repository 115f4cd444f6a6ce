"""The emulator with a guest of one boot sector: it writes a sector to its disk and a word to its console, and rests."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from provision.errors import CommandError
from provision.guests.configdrive import STUDENT_FILE, make_config_drive, student_user_data
from provision.guests.emulator import (
    CLOUD,
    VIRTUALBOX,
    Machine,
    Settings,
    booted,
    check_running,
    console,
    has_ended,
    power_down,
    reset,
)
from tests.guests.sector import SECTOR, boot_disk


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    file = tmp_path / "disk, with a comma.raw"
    file.write_bytes(boot_disk())
    return file


def wait_for(machine: Machine, text: str) -> None:
    for _ in range(300):
        if text in console(machine):
            return
        check_running(machine)
        time.sleep(0.1)
    raise AssertionError(console(machine))


@pytest.mark.parametrize("hardware", [CLOUD, VIRTUALBOX])
def test_it_boots_and_the_image_stays_as_it_is(disk: Path, tmp_path: Path, hardware: str) -> None:
    before = disk.read_bytes()
    disk.chmod(0o400)
    with booted(Settings(disk, "raw", memory=64, hardware=hardware), tmp_path / "m") as machine:
        wait_for(machine, "hello")
        reset(machine)
        wait_for(machine, "hello\nhello")
        assert not power_down(machine, deadline=0.5)  # this guest knows no power button
    assert disk.read_bytes() == before


def test_a_writable_disk_keeps_what_the_guest_wrote(disk: Path, tmp_path: Path) -> None:
    with booted(Settings(disk, "raw", memory=64, writable=True), tmp_path / "m") as machine:
        wait_for(machine, "hello")
    content = disk.read_bytes()
    assert content[SECTOR : 2 * SECTOR] == content[:SECTOR]


def test_nothing_is_left_of_it(disk: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), booted(Settings(disk, "raw", memory=64), tmp_path / "m") as machine:
        raise RuntimeError
    assert machine.exit_code() is not None
    with pytest.raises(CommandError, match="has ended"):
        check_running(machine)
    assert has_ended(machine, deadline=0)


def test_ports_are_the_hosts_own_choice(disk: Path, tmp_path: Path) -> None:
    settings = Settings(disk, "raw", memory=64, ports=(22, 80), restricted=True, wired=True)
    with booted(settings, tmp_path / "a") as one, booted(settings, tmp_path / "b") as two:
        assert set(one.ports) == set(two.ports) == {22, 80}
        assert len({*one.ports.values(), *two.ports.values()}) == 4


def test_a_start_that_fails_says_what_qemu_said(disk: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(CommandError, match=r"(?s)exit code 1.*(?i:memory|RAM)"),
        booted(Settings(disk, "raw", memory=2**40), tmp_path / "m"),
    ):
        pass


def test_a_disk_that_is_missing_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(CommandError, match="No such file"),
        booted(Settings(tmp_path / "none.qcow2", memory=64), tmp_path / "m"),
    ):
        pass


def test_the_config_drive_is_what_nova_would_give(tmp_path: Path) -> None:
    drive = tmp_path / "drive.iso"
    user_data = student_user_data("s001", "argon2:$argon2id$x", ["ssh-ed25519 AAAA"])
    make_config_drive(drive, name="tm351-26j-s001", user_data=user_data)
    assert "Volume id: config-2" in isoinfo(drive, "-d")
    assert json.loads(read(drive, "meta_data.json"))["hostname"] == "tm351-26j-s001"
    assert read(drive, "user_data") == user_data
    (file,) = json.loads(user_data.removeprefix("#cloud-config\n"))["write_files"]
    assert (file["path"], file["permissions"]) == (STUDENT_FILE, "0600")
    assert json.loads(file["content"])["ssh_keys"] == ["ssh-ed25519 AAAA"]
    assert drive.stat().st_mode & 0o077 == 0


def test_a_config_drive_for_nobody_has_no_user_data(tmp_path: Path) -> None:
    make_config_drive(tmp_path / "drive.iso", name="pool-1", user_data=None)
    assert "user_data" not in isoinfo(tmp_path / "drive.iso", "-R", "-f")


def read(drive: Path, name: str) -> str:
    return isoinfo(drive, "-R", "-x", f"/openstack/latest/{name}")


def isoinfo(drive: Path, *options: str) -> str:
    return subprocess.run(["isoinfo", "-i", str(drive), *options], check=True, capture_output=True, text=True).stdout
