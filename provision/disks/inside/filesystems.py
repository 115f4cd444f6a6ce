"""What a partition or volume holds, from its superblock: what it is called, and how full it is."""

import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from provision.disks.inside import fat
from provision.disks.inside.ext4 import is_ext, read_ext4
from provision.disks.inside.view import Pread
from provision.errors import InvalidInputError

_PAGE = 4096
_HEAD = 2**16 + 4096  # bytes that hold every mark that is looked for


@dataclass(frozen=True)
class Filesystem:
    """What is in a partition: `kind` as blkid says it ("" for nothing that is known), sizes in bytes.

    `size`, `used` and `free` are None where the superblock does not say them. `notes` are what is odd about it.
    """

    kind: str
    uuid: str = ""
    label: str = ""
    size: int | None = None
    used: int | None = None
    free: int | None = None
    notes: tuple[str, ...] = ()


def read_filesystem(pread: Pread, size: int) -> Filesystem:
    """What the `size` bytes hold. A damaged one is named all the same, and `notes` say what is wrong."""
    head = pread(0, min(_HEAD, size)).ljust(_HEAD, b"\0")
    for kind, recognises, read in _KINDS:
        if recognises(head):
            try:
                return read(pread, size, head)
            except InvalidInputError as exc:
                return Filesystem(kind, notes=(exc.message,))
    return Filesystem("")


def _ext(pread: Pread, size: int, _head: bytes) -> Filesystem:
    found = read_ext4(pread, size)
    free = found.free_blocks * found.block_size
    whole = found.blocks * found.block_size
    notes = []
    if found.unreplayed:
        notes.append("its journal was not replayed: it was not unmounted, and may look older than it is")
    if not found.clean:
        notes.append("it is not marked as clean: it was in use or has errors")
    return Filesystem(found.kind, _uuid(found.uuid), found.label, whole, whole - free, free, tuple(notes))


def _xfs(_pread: Pread, _size: int, head: bytes) -> Filesystem:
    """XFS Algorithms & Data Structures, "Superblocks"; xfs's counters may lag behind unless it was unmounted."""
    block, blocks = struct.unpack_from(">IQ", head, 4)
    (free_blocks,) = struct.unpack_from(">Q", head, 144)
    if block not in (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536) or free_blocks > blocks:
        raise InvalidInputError("its superblock is not sound")
    free = free_blocks * block
    return Filesystem("xfs", _uuid(head[32:48]), _text(head[108:120]), blocks * block, blocks * block - free, free)


def _btrfs(_pread: Pread, _size: int, head: bytes) -> Filesystem:
    """btrfs-dev-docs, "On-disk Format", superblock: its first copy lies at 64 KiB."""
    block = head[2**16 :]
    whole, used = struct.unpack_from("<QQ", block, 112)
    if used > whole:
        raise InvalidInputError("its superblock is not sound")
    return Filesystem("btrfs", _uuid(block[32:48]), _text(block[299:555]), whole, used, whole - used)


def _swap(_pread: Pread, _size: int, head: bytes) -> Filesystem:
    """The kernel's include/linux/swap.h, union swap_header."""
    (last_page,) = struct.unpack_from("<I", head, 1028)
    whole = (last_page + 1) * _PAGE
    return Filesystem("swap", _uuid(head[1036:1052]), _text(head[1052:1068]), whole)


def _fat(pread: Pread, size: int, _head: bytes) -> Filesystem:
    found = fat.read_fat(pread, size)
    whole, free = found.clusters * found.cluster_size, fat.free_bytes(found)
    return Filesystem("vfat", found.serial, found.label, whole, whole - free, free)


def _luks(_pread: Pread, size: int, head: bytes) -> Filesystem:
    """LUKS1 and LUKS2 have their UUID at the same place."""
    version = int.from_bytes(head[6:8], "big")
    return Filesystem(
        "crypto_LUKS", _text(head[168:208]), size=size, notes=(f"LUKS{version}: its content is encrypted",)
    )


def _named(kind: str) -> Callable[[Pread, int, bytes], Filesystem]:
    return lambda _pread, size, _head: Filesystem(kind, size=size)


def _lvm_label(head: bytes) -> bool:
    """A physical volume's label is in one of the first four sectors."""
    sectors = (head[place : place + 32] for place in range(0, 2048, 512))
    return any(sector.startswith(b"LABELONE") and sector.endswith(b"LVM2 001") for sector in sectors)


def _marked(place: int, mark: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[place : place + len(mark)] == mark


def _uuid(raw: bytes) -> str:
    return str(uuid.UUID(bytes=raw))


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode(errors="replace")


# In this order: a marker that outlives what replaces it comes after it.
_KINDS: tuple[tuple[str, Callable[[bytes], bool], Callable[[Pread, int, bytes], Filesystem]], ...] = (
    ("crypto_LUKS", _marked(0, b"LUKS\xba\xbe"), _luks),
    ("LVM2_member", _lvm_label, _named("LVM2_member")),
    (
        "linux_raid_member",
        lambda head: any(_marked(place, b"\xfc\x4e\x2b\xa9")(head) for place in (0, 4096)),
        _named("linux_raid_member"),
    ),
    ("xfs", _marked(0, b"XFSB"), _xfs),
    ("btrfs", _marked(2**16 + 64, b"_BHRfS_M"), _btrfs),
    ("swap", _marked(_PAGE - 10, b"SWAPSPACE2"), _swap),
    ("ext4", is_ext, _ext),
    ("ntfs", _marked(3, b"NTFS    "), _named("ntfs")),
    ("exfat", _marked(3, b"EXFAT   "), _named("exfat")),
    ("squashfs", _marked(0, b"hsqs"), _named("squashfs")),
    ("iso9660", _marked(32769, b"CD001"), _named("iso9660")),
    ("vfat", fat.is_fat, _fat),
)
