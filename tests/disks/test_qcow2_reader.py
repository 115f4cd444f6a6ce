"""qcow2 files of every kind are read as qemu-img reads them; what needs another file, or is damaged, is refused."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.disks.formats.qcow2 import read_qcow2
from provision.disks.window import opened_file
from provision.errors import InvalidInputError
from tests.disks.conftest import MIB, sh
from tests.disks.images import assert_reads_as, changed, content, raw_disk

SIZE = 9 * MIB + 7 * 512
RUNS = [(0, content(1, 300_000)), (5 * MIB, content(2, MIB)), (SIZE - 5000, content(3, 5000))]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return raw_disk(tmp_path / "raw", SIZE, RUNS)


@pytest.mark.parametrize("packing", [[], ["-c"], ["-c", "-o", "compression_type=zstd"]])
@pytest.mark.parametrize("cluster", ["512", "4k", "64k", "2M"])
def test_cluster_sizes(cluster: str, packing: list[str], raw: Path, tmp_path: Path) -> None:
    options = ["-o", f"cluster_size={cluster}", *packing]
    sh("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, raw, tmp_path / "qcow2")
    assert_reads_as(raw, tmp_path / "qcow2", tmp_path / "target")


def test_snapshots_are_left_out(tmp_path: Path) -> None:
    disk, raw = tmp_path / "disk", tmp_path / "raw"
    sh("qemu-img", "create", "-q", "-f", "qcow2", disk, "4M")
    sh("qemu-io", "-f", "qcow2", "-c", "write -P 1 0 1M", disk)
    sh("qemu-img", "snapshot", "-c", "before", disk)
    sh("qemu-io", "-f", "qcow2", "-c", "write -P 2 512k 1M", disk)
    sh("qemu-img", "convert", "-f", "qcow2", "-O", "raw", disk, raw)
    assert assert_reads_as(raw, disk, tmp_path / "target") == ("file", "qcow2 (snapshots left out: 1)")


def test_a_machine_that_was_cut_off_leaves_a_readable_disk(raw: Path, tmp_path: Path) -> None:
    """The dirty bit: only reference counts are stale."""
    disk = tmp_path / "disk"
    sh("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", "lazy_refcounts=on", raw, disk)
    changed(disk, 72, struct.pack(">Q", 1))
    assert_reads_as(raw, disk, tmp_path / "target")


@pytest.mark.parametrize("zero", ["write -z", "write -zu", "discard"])
def test_clusters_that_were_zeroed(zero: str, tmp_path: Path) -> None:
    """Without unmapping, QEMU keeps the cluster and its old content, and marks it."""
    disk, raw = tmp_path / "disk", tmp_path / "raw"
    sh("qemu-img", "create", "-q", "-f", "qcow2", disk, "4M")
    sh("qemu-io", "-f", "qcow2", "-d", "unmap", "-c", "write -P 1 0 1M", "-c", f"{zero} 128k 256k", disk)
    sh("qemu-img", "convert", "-f", "qcow2", "-O", "raw", disk, raw)
    assert_reads_as(raw, disk, tmp_path / "target")


def test_the_file_may_end_with_its_last_packed_cluster(raw: Path, tmp_path: Path) -> None:
    """An entry counts whole sectors, and a writer need not fill the last one up."""
    disk = tmp_path / "disk"
    sh("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", raw, disk)
    os.truncate(disk, len(disk.read_bytes().rstrip(b"\0")))
    assert disk.stat().st_size % 512
    assert_reads_as(raw, disk, tmp_path / "target")


def number(place: int, value: int, form: str = ">I") -> Callable[[Path], None]:
    return lambda path: changed(path, place, struct.pack(form, value))


CLUSTER = 2**16
L1, L2 = 3 * CLUSTER, 4 * CLUSTER  # where qemu-img puts them: behind the reference counts
FREE = 28 * CLUSTER  # behind all data
COPIED, COMPRESSED = 1 << 63, 1 << 62


def entry(value: int, index: int = 0) -> Callable[[Path], None]:
    return number(L2 + 8 * index, value, ">Q")


def packed(place: int, sectors: int) -> int:
    return COMPRESSED | (sectors - 1) << 54 | place


def both(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        for each in changes:
            each(path)

    return change


def length(size: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, size)


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "no signature": (number(0, 0), "byte 0: it has not the signature"),
    "version 1": (number(4, 1), r"is of version 1.*\(byte 4\)"),
    "backing file": (number(8, 512, ">Q"), r"needs a backing file \(byte 8\)"),
    "encrypted": (number(32, 1), r"is encrypted \(byte 32\)"),
    "LUKS": (number(32, 2), r"is encrypted \(byte 32\)"),
    "corrupt": (number(72, 2, ">Q"), "is marked as corrupt"),
    "data file": (number(72, 4, ">Q"), "keeps its data in another file"),
    "extended L2": (number(72, 16, ">Q"), "has subclusters"),
    "unknown feature": (number(72, 1 << 40, ">Q"), "features that we do not know.*byte 72"),
    "unknown compression": (both(number(72, 8, ">Q"), number(104, 7, ">B")), r"in a way that we do not know \(7\)"),
    "clusters of 256 bytes": (number(20, 8), r"byte 20: its clusters have 2\^8 bytes"),
    "clusters of 2^4294967295 bytes": (number(20, 2**32 - 1), "byte 20: its clusters"),
    "no whole sectors": (number(24, 1000, ">Q"), "byte 24: .* no whole number of sectors"),
    "size of 2^63": (number(24, 2**63, ">Q"), "byte 24: 9223372036854775808 bytes are more than"),
    "size beyond the L1 table": (number(24, 600 * MIB, ">Q"), "byte 36: an L1 table of 1 entries"),
    "L1 of 32 GiB": (number(36, 2**32 - 1), "byte 36: an L1 table of 4294967295 entries"),
    "L1 beyond the file": (number(40, 2**40, ">Q"), "byte 40: its L1 table"),
    "L1 between clusters": (number(40, L1 + 8, ">Q"), "byte 40: its L1 table"),
    "L1 in the header": (number(40, 0, ">Q"), "byte 0: no L1 entry"),
    "reference counts over L1": (number(48, L1, ">Q"), f"byte {L1}: what is there belongs to two"),
    "L1 entry with unknown bits": (number(L1, 1, ">Q"), f"byte {L1}: no L1 entry"),
    "L2 between clusters": (number(L1, COPIED | L2 + 512, ">Q"), f"byte {L1}: no L1 entry"),
    "L2 beyond the file": (number(L1, COPIED | 2**50, ">Q"), f"bytes at byte {2**50} are wanted"),
    "L2 over L1": (number(L1, COPIED | L1, ">Q"), f"byte {L1}: what is there belongs to two"),
    "an L2 twice": (both(number(36, 2), number(24, 600 * MIB, ">Q"), number(L1 + 8, L2, ">Q")), "is used twice"),
    "entry with unknown bits": (entry(COPIED | 5 * CLUSTER | 2), f"byte {L2}: no L2 entry"),
    "zeros in version 2": (both(number(4, 2), entry(COPIED | 5 * CLUSTER | 1)), f"byte {L2}: no L2 entry"),
    "cluster between clusters": (entry(COPIED | 5 * CLUSTER + 512), f"byte {L2}: no L2 entry"),
    "cluster beyond the file": (entry(COPIED | 2**50), f"byte {2**50}: a cluster is said to be there"),
    "cluster over L1": (entry(COPIED | L1), f"byte {L1}: what is there belongs to two"),
    "cluster over L2": (entry(COPIED | L2), f"byte {L2}: what is there belongs to two"),
    "a cluster twice": (entry(COPIED | 5 * CLUSTER, 1), f"byte {5 * CLUSTER}: what is there belongs to two"),
    "packed in the header": (entry(packed(0, 1)), "byte 0: what is there belongs to two"),
    "packed over stored": (entry(packed(6 * CLUSTER + 100, 2)), f"byte {6 * CLUSTER + 100}: what is there"),
    "packed beyond the file": (entry(packed(2**50, 2)), f"byte {2**50}: a cluster is said to be there"),
    "packed twice": (
        both(length(2 * FREE), entry(packed(FREE, 1), 0), entry(packed(FREE, 1), 1)),
        f"byte {FREE}: what is there belongs to two",
    ),
    "packed over packed": (
        both(length(2 * FREE), entry(packed(FREE, 3), 0), entry(packed(FREE + 512, 3), 1)),
        f"byte {FREE + 512}: what is there belongs to two",
    ),
    "cut in the data": (length(20 * CLUSTER), f"the file ends at {20 * CLUSTER}"),
    "cut in the header": (length(60), "is cut off or wrong"),
}


@pytest.mark.parametrize("name", BAD)
def test_refused(name: str, raw: Path, tmp_path: Path) -> None:
    change, message = BAD[name]
    disk = tmp_path / "disk"
    sh("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, disk)
    change(disk)
    with opened_file(disk) as window, pytest.raises(InvalidInputError, match=message):
        list(read_qcow2(window).extents())
