"""A box's disk as a course team has it: Debian on a partition, made once from the tree that the roles' tests keep."""

import subprocess
import uuid
from pathlib import Path

import pytest

from tests.roles.conftest import VAGRANT, plain_tree

__all__ = ["plain_tree"]  # a fixture is known where it is imported

MIB = 2**20
SIZE = 1500  # MiB


def make_disk(disk: Path, folder: Path) -> Path:
    """Make a raw disk whose one partition holds the files of `folder`."""
    with disk.open("wb") as stream:
        stream.truncate((SIZE + 1) * MIB)
    script = "label: dos\nstart=2048, type=83, bootable\n"
    subprocess.run(["sfdisk", "--quiet", disk], input=script, text=True, check=True)
    command: list[str | Path] = ["mkfs.ext4", "-q", "-F", "-d", folder, "-E", f"offset={MIB}", disk, f"{SIZE}M"]
    subprocess.run(command, check=True, capture_output=True)
    return disk


@pytest.fixture(scope="session")
def debian_disk(plain_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with Debian, and with the user `vagrant` on it."""
    work = tmp_path_factory.mktemp("debian")
    root = work / "root"
    root.mkdir()
    subprocess.run(["tar", "--extract", "--file", plain_tree, "--directory", root, "--exclude=./dev/*"], check=True)
    nspawn = ["systemd-nspawn", "--quiet", "--pipe", "--register=no", "--keep-unit", f"--directory={root}"]
    nspawn.append(f"--machine=image-{uuid.uuid4().hex[:8]}")
    subprocess.run([*nspawn, "/bin/sh", "-eu"], input=VAGRANT, text=True, check=True)
    disk = make_disk(work / "disk.raw", root)
    subprocess.run(["rm", "-rf", root], check=True)
    return disk
