"""ext2, ext3 and ext4, read without a kernel: superblock, group descriptors, inodes.

After the kernel's Documentation/filesystems/ext4. A journal is not replayed.
"""

import stat
import struct
from dataclasses import dataclass
from functools import cached_property

from provision.disks.inside.view import Pread
from provision.errors import InvalidInputError

PLACE, MAGIC = 1024, 0xEF53  # of the superblock
GOOD_OLD_INODE = 128
BLOCK_SIZES = tuple(1024 << shift for shift in range(7))

# Features, as mkfs.ext4 names them.
HAS_JOURNAL, SPARSE_SUPER2 = 0x4, 0x200  # compatible
RECOVER, META_BG, EXTENTS, IS_64BIT = 0x4, 0x10, 0x40, 0x80  # incompatible
COMPRESSION, JOURNAL_DEV, DIRDATA = 0x1, 0x8, 0x1000
KNOWN = 0x3E7D6  # those incompatible features with which files are found as they are here
EXT3_INCOMPATIBLE = 0x2 | RECOVER | META_BG
SPARSE_SUPER, EXT3_READONLY = 0x1, 0x7  # read-only compatible

IN_EXTENTS, INLINE, ENCRYPTED = 0x80000, 0x10000000, 0x800  # an inode's flags


@dataclass(frozen=True)
class Inode:
    """A file of any kind: `size` in bytes, `blocks` the 60 bytes that map its content, `tail` what follows in it."""

    number: int
    mode: int
    size: int
    flags: int
    blocks: bytes
    tail: bytes

    @property
    def is_folder(self) -> bool:
        """True for a directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """True for an ordinary file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_link(self) -> bool:
        """True for a symbolic link."""
        return stat.S_ISLNK(self.mode)


@dataclass(frozen=True)
class Ext4:
    """An ext2, ext3 or ext4 filesystem. Sizes in bytes; features as the superblock's bit masks."""

    pread: Pread
    size: int
    block_size: int
    blocks: int
    free_blocks: int
    first_block: int
    blocks_per_group: int
    inodes: int
    inodes_per_group: int
    inode_size: int
    descriptor_size: int
    first_meta_group: int
    backup_groups: tuple[int, int]
    compatible: int
    incompatible: int
    readonly: int
    uuid: bytes
    label: str
    clean: bool

    @property
    def kind(self) -> str:
        """ext2, ext3 or ext4, by its features as blkid does it."""
        if self.incompatible & ~EXT3_INCOMPATIBLE or self.readonly & ~EXT3_READONLY:
            return "ext4"
        return "ext3" if self.compatible & HAS_JOURNAL else "ext2"

    @property
    def unreplayed(self) -> bool:
        """True if the journal holds changes that are not in the filesystem yet."""
        return bool(self.incompatible & RECOVER)

    @cached_property
    def groups(self) -> int:
        """How many block groups there are."""
        return -(-(self.blocks - self.first_block) // self.blocks_per_group)

    def block(self, number: int) -> bytes:
        """The content of one block."""
        if not 0 < number < self.blocks:
            raise self.damaged(f"names block {number}, and has {self.blocks}")
        return self.pread(number * self.block_size, self.block_size)

    def damaged(self, what: str) -> InvalidInputError:
        """The error for a filesystem that contradicts itself."""
        return InvalidInputError(f"The {self.kind} filesystem is damaged: it {what}.", hint="Run e2fsck on it.")


def is_ext(head: bytes) -> bool:
    """True if `head`, a partition's first 2 KiB, begins an ext2, ext3 or ext4 filesystem."""
    return head[PLACE + 56 : PLACE + 58] == MAGIC.to_bytes(2, "little")


def read_ext4(pread: Pread, size: int) -> Ext4:
    """The filesystem in `size` bytes. Raises InvalidInputError if its superblock is none that can be."""
    block = pread(PLACE, 1024)
    (inodes, blocks, _, free, _, first, log_size, _, per_group, _, inodes_per_group) = struct.unpack_from("<11I", block)
    if not is_ext(bytes(PLACE) + block) or log_size >= len(BLOCK_SIZES):
        raise InvalidInputError("There is no sound ext4 superblock at byte 1024 of the filesystem.")
    compatible, incompatible, readonly = struct.unpack_from("<3I", block, 92)
    (revision,) = struct.unpack_from("<I", block, 76)
    wide = bool(incompatible & IS_64BIT)
    if wide:
        blocks += int.from_bytes(block[336:340], "little") << 32
        free += int.from_bytes(block[344:348], "little") << 32
    made = Ext4(
        pread=pread,
        size=size,
        block_size=BLOCK_SIZES[log_size],
        blocks=blocks,
        free_blocks=free,
        first_block=first,
        blocks_per_group=per_group,
        inodes=inodes,
        inodes_per_group=inodes_per_group,
        inode_size=int.from_bytes(block[88:90], "little") if revision else GOOD_OLD_INODE,
        descriptor_size=int.from_bytes(block[254:256], "little") if wide else 32,
        first_meta_group=int.from_bytes(block[260:264], "little"),
        backup_groups=(int.from_bytes(block[588:592], "little"), int.from_bytes(block[592:596], "little")),
        compatible=compatible,
        incompatible=incompatible,
        readonly=readonly,
        uuid=block[104:120],
        label=block[120:136].split(b"\0")[0].decode(errors="replace"),
        clean=bool(block[58] & 1) and not block[58] & 2,
    )
    if problem := _problem(made):
        raise InvalidInputError(f"The ext4 superblock at byte 1024 of the filesystem is not sound: {problem}.")
    return made


def _problem(made: Ext4) -> str | None:
    bits = 8 * made.block_size
    rules = (
        (made.first_block < 2 and made.blocks > made.first_block, "the first block lies outside"),
        (made.free_blocks <= made.blocks, "more is free than there is"),
        (made.blocks * made.block_size <= made.size, f"it is larger than its {made.size} bytes"),
        (0 < made.blocks_per_group <= 16 * bits * made.block_size, "blocks in a group"),
        (0 < made.inodes_per_group <= bits, "inodes in a group"),
        (made.inode_size in (*BLOCK_SIZES, 128, 256, 512) and made.inode_size <= made.block_size, "size of inodes"),
        (made.descriptor_size in (32, 64, 128, 256, 512, 1024), "size of group descriptors"),
    )
    return next((words for sound, words in rules if not sound), None)


def check_features(filesystem: Ext4) -> None:
    """Raise InvalidInputError if files cannot be found in it because of a feature that is not known here."""
    if unknown := filesystem.incompatible & ~KNOWN:
        names = {COMPRESSION: "compression", JOURNAL_DEV: "external journal", DIRDATA: "dirdata"}
        words = names.get(unknown, f"feature {unknown:#x}")
        raise InvalidInputError(f"The {filesystem.kind} filesystem uses what is not read here: {words}.")


def read_inode(filesystem: Ext4, number: int) -> Inode:
    """The inode `number`, counted from 1."""
    if not 0 < number <= filesystem.inodes:
        raise filesystem.damaged(f"names inode {number}, and has {filesystem.inodes}")
    group, index = divmod(number - 1, filesystem.inodes_per_group)
    place = inode_table(filesystem, group) * filesystem.block_size + index * filesystem.inode_size
    raw = filesystem.pread(place, filesystem.inode_size)
    (mode, size_low), (flags,), (size_high,) = (
        struct.unpack_from("<H2xI", raw),
        struct.unpack_from("<I", raw, 32),
        struct.unpack_from("<I", raw, 108),
    )
    # In the oldest revision the upper half of a folder's size was an access list.
    size = size_low + (size_high << 32 if stat.S_ISREG(mode) or filesystem.kind == "ext4" else 0)
    return Inode(number, mode, size, flags, raw[40:100], raw[GOOD_OLD_INODE:])


def inode_table(filesystem: Ext4, group: int) -> int:
    """The block where the inodes of a group begin."""
    if group >= filesystem.groups:
        raise filesystem.damaged(f"names block group {group}, and has {filesystem.groups}")
    raw = filesystem.pread(_descriptor_place(filesystem, group), filesystem.descriptor_size)
    table = int.from_bytes(raw[8:12], "little")
    if filesystem.descriptor_size >= 64:
        table += int.from_bytes(raw[40:44], "little") << 32
    if not 0 < table < filesystem.blocks:
        raise filesystem.damaged(f"has the inodes of group {group} at block {table}, of {filesystem.blocks}")
    return table


def _descriptor_place(filesystem: Ext4, group: int) -> int:
    """Where the descriptor of a group is, in bytes; with meta_bg each run of groups keeps its own block of them."""
    per_block = filesystem.block_size // filesystem.descriptor_size
    run = group // per_block
    if not filesystem.incompatible & META_BG or run < filesystem.first_meta_group:
        return (PLACE // filesystem.block_size + 1) * filesystem.block_size + group * filesystem.descriptor_size
    first = run * per_block
    block = filesystem.first_block + first * filesystem.blocks_per_group + _has_superblock(filesystem, first)
    return block * filesystem.block_size + group % per_block * filesystem.descriptor_size


def _has_superblock(filesystem: Ext4, group: int) -> bool:
    if group == 0:
        return True
    if filesystem.compatible & SPARSE_SUPER2:
        return group in filesystem.backup_groups
    return not filesystem.readonly & SPARSE_SUPER or group == 1 or any(_is_power(group, base) for base in (3, 5, 7))


def _is_power(number: int, base: int) -> bool:
    while number > 1 and number % base == 0:
        number //= base
    return number == 1
