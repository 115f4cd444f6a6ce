"""VMDKs of several files: only plain disk data beside the descriptor are ever read, whatever the descriptor says."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.disks.formats.descriptor import parse
from provision.disks.source import opened
from provision.errors import InvalidInputError
from tests.disks import virtualbox
from tests.disks.conftest import MIB
from tests.disks.images import FORMATS, assert_reads_as, content, raw_disk

SECTORS = 2048  # of "disk-flat.vmdk": 1 MiB
FLAT = f'RW {SECTORS} FLAT "disk-flat.vmdk" 0'


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A descriptor of one flat extent, as VirtualBox writes it, and the extent beside it."""
    raw_disk(tmp_path / "disk-flat.vmdk", MIB, [(0, content(1, 5000)), (MIB // 2, content(2, 9000))])
    (tmp_path / "disk.vmdk").write_bytes(virtualbox.descriptor("monolithicFlat", FLAT))
    return tmp_path / "disk.vmdk"


def rewrite(disk: Path, *extents: str, kind: str = "monolithicFlat") -> None:
    disk.write_bytes(virtualbox.descriptor(kind, "\n".join(extents)))


def test_a_flat_disk_is_its_extent(disk: Path, tmp_path: Path) -> None:
    found = assert_reads_as(tmp_path / "disk-flat.vmdk", disk, tmp_path / "target")
    assert found == ("file", "VMDK monolithicFlat")


@pytest.mark.parametrize("name", [b"pl\xe4tte.vmdk", "plätte.vmdk".encode(), b"a disk, copied.vmdk", b".hidden"])
def test_names_are_bytes(name: bytes, disk: Path, tmp_path: Path) -> None:
    """Windows writes descriptors in its own character set."""
    os.rename(tmp_path / "disk-flat.vmdk", os.fsencode(tmp_path) + b"/" + name)  # noqa: PTH104  # paths are text
    disk.write_bytes(disk.read_bytes().replace(b"disk-flat.vmdk", name).replace(b"\n", b"\r\n"))
    with opened(disk) as found:
        assert [extent.offset for extent in found.disk.extents()] == [0, MIB // 2]


@pytest.mark.parametrize("rest", [b"\0" * 300, b"\0\n", b'\x00247"\n', b"\0/etc/shadow"])
def test_a_descriptor_ends_at_its_first_nul(rest: bytes, disk: Path) -> None:
    """qemu-img leaves the end of a longer one behind it, one time in 256; VirtualBox fills it up with zeros."""
    disk.write_bytes(disk.read_bytes() + rest)
    with opened(disk) as found:
        assert found.disk.size == MIB


def test_extents_follow_one_another(disk: Path, tmp_path: Path) -> None:
    """Zeros have no file, and an extent may begin within one."""
    other = raw_disk(tmp_path / "other", MIB, [(4096, b"x" * 4096)])
    rewrite(disk, FLAT, "RW 6 ZERO", 'RDONLY 1000 FLAT "other" 8', kind="twoGbMaxExtentFlat")
    flat = (tmp_path / "disk-flat.vmdk").read_bytes()
    whole = raw_disk(tmp_path / "whole", MIB + 1006 * 512, [(0, flat), (MIB + 6 * 512, b"x" * 4096)])
    assert other.stat().st_size > 1008 * 512
    assert_reads_as(whole, disk, tmp_path / "target")


def test_virtualbox_rounds_sparse_extents_up(tmp_path: Path) -> None:
    """To whole grains; how much of the disk they are is in the descriptor."""
    raw = raw_disk(tmp_path / "raw", 3 * MIB, [(3 * MIB - 65536, content(3, 65536 - 37 * 512))])
    FORMATS["vmdk-split-sparse"].make(raw, tmp_path / "disk.vmdk")
    text = (tmp_path / "disk.vmdk").read_text()
    (tmp_path / "disk.vmdk").write_text(text.replace(f"RW {3 * 2048} ", f"RW {3 * 2048 - 37} "))
    os.truncate(raw, 3 * MIB - 37 * 512)
    assert_reads_as(raw, tmp_path / "disk.vmdk", tmp_path / "target")


def naming(name: str) -> Callable[[Path], None]:
    return lambda disk: rewrite(disk, f'RW {SECTORS} FLAT "{name}" 0')


def extents(*lines: str, kind: str = "monolithicFlat") -> Callable[[Path], None]:
    return lambda disk: rewrite(disk, *lines, kind=kind)


def holding(begin: bytes) -> Callable[[Path], None]:
    """What a machine whose disk is flat can write to it."""

    def change(disk: Path) -> None:
        with (disk.parent / "disk-flat.vmdk").open("r+b") as stream:
            stream.write(begin)

    return change


def instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(disk: Path) -> None:
        extent = disk.parent / "disk-flat.vmdk"
        extent.rename(disk.parent / "elsewhere")
        make(extent)

    return change


def setting(old: str, new: str) -> Callable[[Path], None]:
    def change(disk: Path) -> None:
        disk.write_bytes(disk.read_bytes().replace(old.encode(), new.encode()))

    return change


OUTSIDE = "which is not a file beside the disk: line 8 of the descriptor in disk.vmdk"
BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "absolute": (naming("/etc/shadow"), OUTSIDE),
    "device": (naming("/dev/sda"), OUTSIDE),
    "parent": (naming("../disk-flat.vmdk"), OUTSIDE),
    "below": (naming("sub/disk-flat.vmdk"), OUTSIDE),
    "windows path": (naming("C:\\\\disks\\\\a.vmdk"), OUTSIDE),
    "windows device": (naming("\\\\\\\\.\\\\PhysicalDrive0"), OUTSIDE),
    "dots": (naming(".."), OUTSIDE),
    "dot": (naming("."), OUTSIDE),
    "no name": (naming(""), OUTSIDE),
    "NUL": (naming("disk\0flat"), "Not understood: line 8"),
    "line break": (naming("disk\nflat"), "Not understood: line 8"),
    "very long": (naming("x" * 5000), "cannot be read: File name too long"),
    "missing": (naming("other"), "needs the file other beside it, which cannot be read: No such file"),
    "itself": (naming("disk.vmdk"), r"disk.vmdk is named as .* and is a disk file itself \(byte 0\)"),
    "link": (instead(lambda path: path.symlink_to("elsewhere")), "cannot be read: Too many levels of symbolic links"),
    "pipe": (instead(os.mkfifo), "is no ordinary file"),
    "folder": (instead(Path.mkdir), "is no ordinary file"),
    "twice": (extents(FLAT, FLAT, kind="twoGbMaxExtentFlat"), "names a file twice"),
    "too short": (
        extents(f'RW {SECTORS + 1} FLAT "disk-flat.vmdk" 0'),
        "end at byte 1049088, and the file at",
    ),
    "too far": (extents(f'RW {SECTORS} FLAT "disk-flat.vmdk" 1'), "end at byte 1049088, and the file at"),
    "2^63 bytes": (extents(f'RW {2**54} FLAT "disk-flat.vmdk" 0'), "more than a disk's 70368744177664 bytes"),
    "2^63 bytes in all": (extents(FLAT, *[f"RW {2**53} ZERO"] * 2), "more than a disk's 70368744177664 bytes"),
    "a number of 5000 digits": (extents(f'RW {"9" * 5000} FLAT "disk-flat.vmdk" 0'), "Not understood: line 8"),
    "negative": (extents('RW -1 FLAT "disk-flat.vmdk" 0'), "Not understood: line 8"),
    "no access": (extents('NOACCESS 8 FLAT "disk-flat.vmdk" 0'), "Not understood: line 8"),
    "partition": (extents('RW 8 FLAT "disk-flat.vmdk" 0 partitionUUID /dev/sda'), "Not understood: line 8"),
    "of VMware's own": (extents('RW 8 VMFSRDM "disk-flat.vmdk"'), "An extent of kind VMFSRDM"),
    "flat without file": (extents("RW 8 FLAT"), "kind FLAT that should name a file: line 8"),
    "zeros with file": (
        extents('RW 8 ZERO "disk-flat.vmdk"'),
        "kind ZERO that should name no file: line 8",
    ),
    "no extents": (extents(), "names no extents"),
    "full device": (extents(FLAT, kind="fullDevice"), "of type 'fullDevice', not a known one"),
    "sparse that is not": (extents(f'RW {SECTORS} SPARSE "disk-flat.vmdk"'), "no VMDK begins here"),
    "VMDK inside": (holding(b"KDMV"), "is a disk file itself"),
    "qcow2 inside": (holding(b"QFI\xfb"), "is a disk file itself"),
    "VDI inside": (holding(bytes(64) + b"\x7f\x10\xda\xbe"), "is a disk file itself"),
    "descriptor inside": (holding(b"# Disk DescriptorFile\n"), "is a disk file itself"),
    "difference": (setting("parentCID=ffffffff", "parentCID=0badcafe"), "from another disk: line 4"),
    "hidden difference": (
        setting("parentCID=ffffffff", "parentcid = 0badcafe"),
        "from another disk: line 4",
    ),
    "parent's name": (setting("version=1", 'parentFileNameHint="base.vmdk"'), "from another disk: line 2"),
    "second parent": (setting("version=1", "parentCID=ffffffff\nparentCID=1"), "from another disk: line 3"),
    "second type": (setting("version=1", 'createType="streamOptimized"'), "createtype is set a second time"),
    "encrypted": (setting("version=1", 'encryption.keySafe = "vmware:key/list/"'), "is encrypted: line 2"),
    "endless": (setting("version=1", "#" * MIB), "goes on behind byte 1048576: it is no descriptor"),
    "not text": (setting("version=1", "\x01\x02"), "Not understood: line 2"),
}


@pytest.mark.parametrize("name", BAD)
def test_refused(name: str, disk: Path) -> None:
    change, message = BAD[name]
    change(disk)
    with pytest.raises(InvalidInputError, match=message), opened(disk) as found:
        list(found.disk.extents())


def test_a_sparse_extent_of_another_size_is_refused(tmp_path: Path) -> None:
    FORMATS["vmdk-split-sparse"].make(raw_disk(tmp_path / "raw", 3 * MIB, []), tmp_path / "disk.vmdk")
    text = (tmp_path / "disk.vmdk").read_text()
    for sectors in (3 * 2048 + 1, 2 * 2048):
        (tmp_path / "disk.vmdk").write_text(re.sub(r"RW \d+ ", f"RW {sectors} ", text))
        with (
            pytest.raises(InvalidInputError, match="has 3145728 bytes of the disk"),
            opened(tmp_path / "disk.vmdk"),
        ):
            pass


def test_what_a_descriptor_says() -> None:
    found = parse(virtualbox.descriptor("monolithicFlat", FLAT + "\nRW 4 ZERO").decode(), "disk.vmdk")
    assert (found.create_type, found.parent_cid) == ("monolithicFlat", "ffffffff")
    assert found.extents == (("RW", SECTORS, "FLAT", "disk-flat.vmdk", 0), ("RW", 4, "ZERO", "", 0))
