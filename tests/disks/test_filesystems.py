"""What partitions hold, as the programs that made them say, and what starts a disk."""

import re
import struct
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.disks.inside import fat
from provision.disks.inside.bootloader import Bootloader, read_bootloaders
from provision.disks.inside.filesystems import Filesystem, read_filesystem
from provision.disks.inside.partitions import Partition, PartitionTable, read_partitions
from provision.disks.inside.view import Pread, View
from provision.disks.source import opened
from provision.errors import InvalidInputError
from tests.disks.conftest import MIB, sh

UUID = uuid.UUID("11111111-2222-4333-8444-555555555555")
LONG = "a name that is longer than eight and three.txt"


def reader(image: bytes) -> Pread:
    def pread(place: int, length: int) -> bytes:
        if place < 0 or place + length > len(image):
            raise InvalidInputError("beyond the end")
        return image[place : place + length]

    return pread


def read(image: bytes) -> Filesystem:
    return read_filesystem(reader(image), len(image))


def at(*places: tuple[int, bytes], size: int = 256 * 1024) -> bytes:
    """An image of zeros but for what is written at some places."""
    image = bytearray(size)
    for place, what in places:
        image[place : place + len(what)] = what
    return bytes(image)


def xfs(free: int = 30) -> bytes:
    head = b"XFSB" + struct.pack(">IQ", 4096, 100) + bytes(16) + UUID.bytes
    return at((0, head), (108, b"course"), (144, struct.pack(">Q", free)))


def btrfs(used: int = 40) -> bytes:
    return at(
        (2**16 + 32, UUID.bytes),
        (2**16 + 64, b"_BHRfS_M"),
        (2**16 + 112, struct.pack("<QQ", 100, used)),
        (2**16 + 299, b"course"),
    )


# The layouts are the documented ones, and were compared with what mkfs.xfs, mkfs.btrfs and cryptsetup write.
SUPERBLOCKS = {
    "xfs": (xfs(), Filesystem("xfs", str(UUID), "course", 409600, 286720, 122880)),
    "btrfs": (btrfs(), Filesystem("btrfs", str(UUID), "course", 100, 40, 60)),
    "luks": (
        at((0, b"LUKS\xba\xbe\0\2"), (168, str(UUID).encode())),
        Filesystem("crypto_LUKS", str(UUID), size=262144, notes=("LUKS2: its content is encrypted",)),
    ),
    "lvm": (at((512, b"LABELONE"), (536, b"LVM2 001")), Filesystem("LVM2_member", size=262144)),
    "raid": (at((4096, b"\xfc\x4e\x2b\xa9")), Filesystem("linux_raid_member", size=262144)),
    "unsound xfs": (xfs(101), Filesystem("xfs", notes=("its superblock is not sound",))),
    "unsound btrfs": (btrfs(101), Filesystem("btrfs", notes=("its superblock is not sound",))),
    "nothing": (bytes(262144), Filesystem("")),
    "empty": (b"", Filesystem("")),
}


@pytest.mark.parametrize("name", SUPERBLOCKS)
def test_a_superblock_says_what_it_is(name: str) -> None:
    image, expected = SUPERBLOCKS[name]
    assert read(image) == expected


def test_swap(tmp_path: Path) -> None:
    (tmp_path / "swap").write_bytes(bytes(8 * MIB))
    sh("mkswap", "-L", "course", "-U", str(UUID), tmp_path / "swap")
    assert read((tmp_path / "swap").read_bytes()) == Filesystem("swap", str(UUID), "course", 8 * MIB)


def test_ext4_that_was_not_unmounted(tmp_path: Path) -> None:
    image = tmp_path / "image"
    sh("mkfs.ext4", "-q", "-L", "course", "-U", str(UUID), image, "8M")
    found = read(image.read_bytes())
    assert (found.kind, found.label, found.uuid, found.size, found.notes) == ("ext4", "course", str(UUID), 8 * MIB, ())
    sh("debugfs", "-w", "-R", "feature needs_recovery", image)
    sh("debugfs", "-w", "-R", "ssv state 0", image)
    assert [note.split(":")[0] for note in read(image.read_bytes()).notes] == [
        "its journal was not replayed",
        "it is not marked as clean",
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an EFI system partition holds."""
    root = tmp_path_factory.mktemp("esp")
    for name, size in {"EFI/debian/shimx64.efi": 70_000, "EFI/BOOT/BOOTX64.EFI": 9, f"EFI/{LONG}": 1}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * size)
    return root


@pytest.fixture(scope="module", params=["12", "16"])
def fat_disk(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with a FAT partition, written by qemu."""
    disk = tmp_path_factory.mktemp("fat") / request.param
    sh("qemu-img", "convert", "-f", "raw", "-O", "raw", f"fat:{request.param}:{folder}", disk)
    return Path(disk)


def test_fat_as_qemu_writes_it(fat_disk: Path) -> None:
    with opened(fat_disk, "raw") as source:
        view = View(source.disk)
        part = read_partitions(view).partitions[0]
        pread = view.part((part.start, part.size))
        found = fat.read_fat(pread, part.size)
        assert found.bits == int(fat_disk.name)
        assert sorted(fat.names(found, "efi")) == sorted(["debian", "BOOT", LONG])
        assert fat.names(found, "EFI", "Debian") == ("shimx64.efi",)
        assert fat.names(found, "EFI", "nowhere") == ()
        held = read_filesystem(pread, part.size)
        assert (held.kind, held.label) == ("vfat", "QEMU VVFAT")
        files = -(-70_000 // found.cluster_size) + 5  # and two small ones, three folders
        assert held.used == files * found.cluster_size


def fat32(folders: int = 1) -> bytes:
    """A FAT32 filesystem of 70000 clusters of 512 bytes, whose root is `folders` clusters long and far apart."""
    table, data = 32 * 512, (32 + 548) * 512
    head = bytearray(512)
    struct.pack_into("<HBHBHHB", head, 11, 512, 1, 32, 1, 0, 0, 0xF8)
    struct.pack_into("<IIHHI", head, 32, 32 + 548 + 70_000, 548, 0, 0, 2)
    head[67:82], head[82:90], head[510:] = b"\x78\x56\x34\x12COURSE     ", b"FAT32   ", b"\x55\xaa"
    chain = [2 + 1000 * number for number in range(folders)]
    image = bytearray((32 + 548 + 70_000) * 512)
    image[:512] = head
    for here, following in zip(chain, [*chain[1:], 0x0FFFFFFF], strict=True):
        struct.pack_into("<I", image, table + 4 * here, 0xF0000000 | following)
        for number in range(16):
            entry = f"F{here:05}{number:02}TXT".encode() + b"\x20" + bytes(20)
            place = data + (here - 2) * 512 + 32 * number
            image[place : place + 32] = entry
    return bytes(image)


def test_fat32() -> None:
    found = fat.read_fat(reader(image := fat32(3)), len(image))
    assert (found.bits, found.serial, found.label) == (32, "1234-5678", "COURSE")
    assert fat.free_bytes(found) == (70_000 - 3) * 512
    assert fat.names(found) == tuple(f"f{here:05}{number:02}.txt" for here in (2, 1002, 2002) for number in range(16))


BAD_FAT = {
    "sector size": (11, b"\x03\0"),
    "no clusters": (13, b"\0"),
    "larger than its partition": (32, b"\xff\xff\xff\x7f"),
    "a table too short": (36, b"\1\0\0\0"),
    "a table too long": (36, b"\xff\xff\xff\xff"),
}


@pytest.mark.parametrize("name", BAD_FAT)
def test_a_fat_that_cannot_be(name: str) -> None:
    place, what = BAD_FAT[name]
    image = bytearray(fat32())
    image[place : place + len(what)] = what
    with pytest.raises(InvalidInputError):
        fat.read_fat(reader(bytes(image)), len(image))
    assert read(bytes(image)).notes


def test_a_chain_of_clusters_that_leads_back_ends() -> None:
    image = bytearray(fat32())
    struct.pack_into("<I", image, 32 * 512 + 8, 2)
    found = fat.read_fat(reader(bytes(image)), len(image))
    assert len(fat.names(found)) == fat.MOST_ENTRIES


def with_mbr(code: bytes, change: Callable[[bytearray], None] = lambda image: None) -> Callable[[Path], Path]:
    def make(disk: Path) -> Path:
        with disk.open("wb") as stream:
            stream.truncate(16 * MIB)
        sh("sfdisk", "--quiet", "--label", "dos", disk, stdin="start=2048, type=83")
        image = bytearray(disk.read_bytes())
        image[: len(code)] = code
        change(image)
        disk.write_bytes(image)
        return disk

    return make


def grub(sector: int) -> bytes:
    """The start of an MBR as GRUB's boot.img."""
    return bytes(0x5C) + struct.pack("<Q", sector) + bytes(100) + b"GRUB \0Geom\0Hard Disk\0"


def core(place: int) -> Callable[[bytearray], None]:
    def write(image: bytearray) -> None:
        image[place] = 1

    return write


LOADERS = {
    "none": (with_mbr(b""), []),
    "GRUB": (with_mbr(grub(1), core(512)), [("GRUB", "core at sector 1, before the first partition")]),
    "GRUB in a partition": (with_mbr(grub(2048), core(MIB)), [("GRUB", "core at sector 2048, in partition 1")]),
    "half a GRUB": (with_mbr(grub(1)), [("GRUB", "its core is missing: sector 1 is empty or outside")]),
    "GRUB to nowhere": (with_mbr(grub(2**60)), [("GRUB", f"its core is missing: sector {2**60} is empty or outside")]),
    "another": (with_mbr(b"\xfa\x31LILO"), [("LILO", "")]),
    "unknown": (with_mbr(b"\xfa\x31"), [("unknown boot code", "")]),
}


@pytest.mark.parametrize("name", LOADERS)
def test_boot_code(name: str, tmp_path: Path) -> None:
    make, expected = LOADERS[name]
    with opened(make(tmp_path / "disk"), "raw") as source:
        view = View(source.disk)
        found = read_bootloaders(view, read_partitions(view))
    assert [(each.name, each.detail) for each in found] == expected
    assert {(each.firmware, each.place) for each in found} <= {("bios", "MBR")}


def test_programs_of_an_efi_system_partition(fat_disk: Path) -> None:
    with opened(fat_disk, "raw") as source:
        view = View(source.disk)
        start, size = (read_partitions(view).partitions[0].start, read_partitions(view).partitions[0].size)
        table = PartitionTable("gpt", (Partition(15, start, size, "EFI system"), Partition(1, 0, 512, "EFI system")))
        found = [each for each in read_bootloaders(view, table) if each.firmware == "efi"]
    assert found[0].place == "EFI system partition 15"
    assert set(re.split(", ", found[0].detail)) == {"EFI/debian/shimx64.efi", "EFI/BOOT/BOOTX64.EFI"}
    assert found[1] == Bootloader("unknown", "efi", "EFI system partition 1", found[1].detail)
    assert "cannot be read" in found[1].detail
