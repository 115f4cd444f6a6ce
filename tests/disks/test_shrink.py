"""Shrinking: the data, the identifiers and the boot code survive, and what cannot be shrunk is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from provision.disks.shrink import check_shrinkable, shrink
from provision.disks.table import read_table
from provision.errors import InvalidInputError
from tests.disks.conftest import MIB, sh


def content_of(disk: Path, work: Path) -> tuple[bytes, str]:
    """The bytes of /data and the filesystem's superblock fields, after a clean fsck."""
    last = read_table(disk).last
    filesystem, data = work / "part", work / "data"
    sh("dd", f"if={disk}", f"of={filesystem}", "bs=1M", f"skip={last.start // MIB}", f"count={last.size // MIB}")
    sh("e2fsck", "-f", "-n", filesystem)
    sh("debugfs", "-R", f"dump /data {data}", filesystem)
    return data.read_bytes(), sh("dumpe2fs", "-h", filesystem)


@pytest.mark.parametrize("label", ["dos", "gpt"])
def test_it_is_as_small_as_its_data(label: str, make_disk: Callable[..., Path], tmp_path: Path) -> None:
    disk = make_disk(label)
    table, before = read_table(disk), content_of(disk, tmp_path)[0]
    size = shrink(disk, headroom=10 * MIB)
    assert size == disk.stat().st_size < 120 * MIB
    after, fields = content_of(disk, tmp_path)
    assert after == before
    assert "11111111-2222-4333-8444-555555555555" in fields
    assert disk.read_bytes()[:9] == b"boot code"
    identifiers = [line for line in table.script.splitlines() if "id" in line and "start=" not in line]
    assert [line for line in read_table(disk).script.splitlines() if line in identifiers] == identifiers
    assert "error" not in sh("sfdisk", "--verify", disk).lower().replace("no errors", "")


def test_headroom_is_free_space(make_disk: Callable[..., Path], tmp_path: Path) -> None:
    disk = make_disk()
    shrink(disk, headroom=100 * MIB)
    fields = dict(line.split(":", 1) for line in content_of(disk, tmp_path)[1].splitlines() if ":" in line)
    assert int(fields["Free blocks"]) * int(fields["Block size"]) >= 100 * MIB


def test_a_disk_never_grows(make_disk: Callable[..., Path]) -> None:
    disk = make_disk()
    before = disk.stat().st_size
    assert shrink(disk, headroom=10_000 * MIB) <= before


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda disk: sh("dd", "if=/dev/zero", f"of={disk}", "bs=1M", "seek=1", "count=2", "conv=notrunc"), "no ext4"),
        (
            lambda disk: sh("dd", "if=/dev/zero", f"of={disk}", "bs=512", "count=1", "conv=notrunc"),
            "no partition table",
        ),
    ],
    ids=["another filesystem", "no table"],
)
def test_what_cannot_be_shrunk_is_refused(
    make: Callable[[Path], str], reason: str, make_disk: Callable[..., Path]
) -> None:
    disk = make_disk()
    make(disk)
    before = disk.read_bytes()
    with pytest.raises(InvalidInputError, match=reason):
        check_shrinkable(disk, read_table(disk))
    assert disk.read_bytes() == before


def test_swap_after_the_root_is_refused(make_disk: Callable[..., Path]) -> None:
    disk = make_disk(extra="type=S")
    with pytest.raises(InvalidInputError, match="no ext4") as caught:
        check_shrinkable(disk, read_table(disk))
    assert "swap partition at the end" in str(caught.value.hint)
