"""Mounting a disk, and letting go of one that a killed run left behind."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from provision.disks.mount import mounted, release
from tests.disks.conftest import MIB, sh

HOLD = """
import sys, time
from pathlib import Path
from provision.disks.mount import mounted
with mounted(Path(sys.argv[1]), Path(sys.argv[2])):
    print("mounted", flush=True)
    time.sleep(600)
"""


def left(folder: Path) -> bool:
    return str(folder) in Path("/proc/self/mounts").read_text() or str(folder) in sh("losetup", "--list")


def test_nothing_stays(make_disk: Callable[..., Path], tmp_path: Path) -> None:
    with mounted(make_disk(), tmp_path / "root") as disk:
        assert (disk.root / "data").stat().st_size == 20 * MIB
        assert disk.uuid == "11111111-2222-4333-8444-555555555555"
    assert not left(tmp_path)


def test_what_a_killed_run_left_is_let_go(make_disk: Callable[..., Path], tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(make_disk()), str(tmp_path / "root")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "mounted\n"
        holder.send_signal(signal.SIGKILL)
    assert left(tmp_path)
    release(tmp_path)
    assert not left(tmp_path)
