"""Where everything lies on a disk whose last filesystem was made smaller: planned here, done in shrink."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from provision.disks.inside.lvm import LINEAR, Run, Volume, VolumeGroup
from provision.disks.resize.lvmwrite import packed
from provision.disks.resize.sparse import Move
from provision.disks.resize.table import Partition, Table
from provision.errors import InvalidInputError

MIB = 2**20
EXT = ("ext2", "ext3", "ext4")
SWAP = "swap"
EXTENDED = "extended"
EMPTY = ""  # not a byte of data
LVM = "LVM2_member"
SWAP_HEAD = 2**16  # bytes; a swap area's header is its first page, and the largest pages have 64 KiB
_GPT_BACKUP = MIB  # room for GPT's second header behind the last partition
_NAMES = {
    "btrfs": "btrfs",
    "crypto_LUKS": "an encrypted disk (LUKS)",
    "linux_raid_member": "a part of a RAID",
    "ntfs": "NTFS",
    "swsuspend": "a machine's hibernated memory",
    "vfat": "a FAT filesystem",
    "xfs": "XFS",
    "zfs_member": "ZFS",
    LVM: "an LVM physical volume",
    EMPTY: "nothing",
}
_HINT = "Convert the disk as it is; only ext4, alone or on LVM, with nothing but swap behind it can be shrunk."


@dataclass(frozen=True)
class Content:
    """What a partition holds: `kind` as blkid calls it; of a physical volume also its group, and each volume's kind."""

    kind: str
    group: VolumeGroup | None = None
    volumes: Mapping[str, str] = field(default_factory=dict)


class Root(NamedTuple):
    """The filesystem that shrinks: its partition, its volume if it is on LVM, and where its bytes are."""

    partition: Partition
    volume: Volume | None
    runs: tuple[Run, ...]

    @property
    def size(self) -> int:
        """How long it may be, in bytes."""
        return sum(run.size for run in self.runs)


@dataclass(frozen=True)
class Layout:
    """The new disk: its partitions and volume group, its size, the place of the filesystem, and all that is to be kept.

    What was behind byte `root`, where the partition with the filesystem begins, is now `shift` bytes nearer.
    """

    partitions: tuple[Partition, ...]
    group: VolumeGroup | None
    size: int
    place: int
    moves: tuple[Move, ...]
    root: int
    shift: int

    def moved(self, place: int) -> int:
        """Where byte `place` of the old disk went, if it belongs to no partition."""
        return place - self.shift if place > self.root else place


def find_root(table: Table, contents: Mapping[int, Content]) -> Root:
    """The filesystem that can shrink: the last one. Raises InvalidInputError if there is none, naming what is there."""
    if table.label not in ("dos", "gpt", "none"):
        raise InvalidInputError(f"The disk's partition table is of type {table.label}, not dos or gpt.", hint=_HINT)
    ordered = sorted(table.partitions, key=lambda each: each.start, reverse=True)
    for partition in ordered:
        content = contents[partition.number]
        if content.kind in EXT:
            return Root(partition, None, (Run(partition.start, partition.size),))
        if content.kind == LVM and content.group:
            volume = _root_volume(content.group, content.volumes)
            return Root(partition, volume, volume.runs)
        if content.kind not in (SWAP, EXTENDED, EMPTY):
            raise InvalidInputError(
                f"{_place(partition)} holds {_NAMES.get(content.kind, content.kind)}, which cannot be shrunk or moved.",
                hint=_HINT,
            )
    raise InvalidInputError("The disk holds no filesystem that we know.", hint=_HINT)


def _place(partition: Partition) -> str:
    return f"The disk's partition {partition.number}" if partition.number else "The disk"


def _root_volume(group: VolumeGroup, kinds: Mapping[str, str]) -> Volume:
    """The largest ext4 volume of a group in which all can be moved; the others stay as large as they are."""
    if group.physical_volumes > 1:
        raise InvalidInputError(
            f"The volume group {group.name} has {group.physical_volumes} physical volumes: only one can be shrunk.",
            hint=_HINT,
        )
    for volume in group.volumes:
        if volume.kind != LINEAR:
            raise InvalidInputError(
                f"The volume {group.name}/{volume.name} is of type {volume.kind}: only linear ones can be moved.",
                hint=_HINT,
            )
    candidates = [volume for volume in group.volumes if kinds.get(volume.name) in EXT]
    if not candidates:
        held = ", ".join(f"{name}: {_NAMES.get(kind, kind)}" for name, kind in kinds.items())
        raise InvalidInputError(
            f"The volume group {group.name} has no volume with ext4 ({held or 'it is empty'}).", hint=_HINT
        )
    return max(candidates, key=lambda volume: volume.size)


def plan_layout(table: Table, contents: Mapping[int, Content], size: int) -> Layout:
    """The disk on which the filesystem that can shrink has `size` bytes, at most what it has now.

    What lies behind it follows, with the same distances, and all that holds data is kept.
    """
    root = find_root(table, contents)
    content = contents[root.partition.number]
    group, place, moves = None, root.partition.start, [Move(0, 0, root.partition.start)]
    if root.volume and content.group:
        group = packed(content.group, {root.volume.name: size})
        place, size = _run_of(group, root.volume.name).place, group.physical_volume.size
        moves += _volume_moves(content.group, group, root.volume.name, content.volumes)
    shrunk = replace(root.partition, size=size)
    shift = _shift(table, shrunk, root.partition)
    partitions = _placed(table, shrunk, shift)
    moves += _partition_moves(table, shift, contents, root.partition)
    end = max(partition.end for partition in partitions) + (_GPT_BACKUP if table.label == "gpt" else 0)
    size = min(table.size, -(-end // MIB) * MIB)
    return Layout(partitions, group, size, place, tuple(moves), root.partition.start, shift)


def _run_of(group: VolumeGroup, name: str) -> Run:
    return next(volume.runs[0] for volume in group.volumes if volume.name == name)


def _volume_moves(old: VolumeGroup, new: VolumeGroup, root: str, kinds: Mapping[str, str]) -> list[Move]:
    """What of a physical volume is kept: all before its extents, and each other volume."""
    start = old.physical_volume.start
    moves = [Move(start, start, old.data - start)]
    for volume in old.volumes:
        if volume.name == root:
            continue
        target = _run_of(new, volume.name).place
        for run in volume.runs:
            size = SWAP_HEAD if kinds.get(volume.name) == SWAP else run.size
            moves.append(Move(run.place, target, min(size, run.size)))
            target += run.size
    return moves


def _partition_moves(table: Table, shift: int, contents: Mapping[int, Content], root: Partition) -> list[Move]:
    """The headers of the swap partitions behind the root."""
    return [
        Move(each.start, each.start - shift, min(SWAP_HEAD, each.size))
        for each in table.partitions
        if each.start > root.start and contents[each.number].kind == SWAP
    ]


def _shift(table: Table, shrunk: Partition, root: Partition) -> int:
    """How many bytes, a whole number of MiB, nearer is what lies behind the root; a wide gap closes, too."""
    first = min((each.start for each in table.partitions if each.start > root.start), default=root.end)
    gap = first - root.end if table.is_logical(root) else min(first - root.end, MIB)  # somewhere in it is a table
    return max((first - gap - shrunk.end) // MIB * MIB, 0)


def _placed(table: Table, shrunk: Partition, shift: int) -> tuple[Partition, ...]:
    """The partitions with `shrunk` in its place; an MBR's container ends with the last partition in it."""
    partitions = [
        shrunk
        if each.number == shrunk.number
        else replace(each, start=each.start - shift * (each.start > shrunk.start))
        for each in table.partitions
    ]
    ends = [each.end for each in partitions if table.is_logical(each)]
    return tuple(
        replace(each, size=max(ends, default=each.start + min(each.size, MIB)) - each.start)
        if table.is_extended(each)
        else each
        for each in partitions
    )
