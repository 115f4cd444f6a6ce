"""Real disks, made on the spot: a partition table, ext4, and known files in it."""

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

MIB = 2**20


def sh(*words: str | Path, stdin: str | None = None) -> str:
    return subprocess.run([*map(str, words)], input=stdin, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def make_disk(tmp_path: Path) -> Callable[..., Path]:
    """A raw disk of `size` MiB with one ext4 partition that holds a file of 20 MiB."""

    def make(label: str = "dos", size: int = 600, extra: str = "") -> Path:
        disk, filesystem, content = (tmp_path / name for name in (f"{label}.raw", "filesystem", "content"))
        content.mkdir()
        (content / "data").write_bytes(hashlib.shake_128(b"data").digest(20 * MIB))
        with disk.open("wb") as stream:
            stream.truncate(size * MIB)
        length = (size - 2) * MIB if not extra else (size // 2) * MIB
        sh("sfdisk", "--quiet", "--label", label, disk, stdin=f"start=2048, size={length // 512}, type=L\n{extra}\n")
        with filesystem.open("wb") as stream:
            stream.truncate(length)
        sh("mkfs.ext4", "-q", "-d", content, "-U", "11111111-2222-4333-8444-555555555555", filesystem)
        sh("dd", f"if={filesystem}", f"of={disk}", "bs=1M", "seek=1", "conv=notrunc,sparse", "status=none")
        filesystem.unlink()
        with disk.open("r+b") as stream:
            stream.write(b"boot code")
        return disk

    return make
