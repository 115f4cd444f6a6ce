"""What is in a disk file, read without root, without mounting anything and without a temporary file."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from provision.disks.extents import Disk, Extent
from provision.disks.inside.bootloader import Bootloader, read_bootloaders
from provision.disks.inside.ext4 import Ext4, read_ext4
from provision.disks.inside.ext4_tree import Tree
from provision.disks.inside.filesystems import Filesystem, read_filesystem
from provision.disks.inside.lvm import LINEAR, VolumeGroup, read_volumes
from provision.disks.inside.partitions import EXTENDED_KIND, PartitionTable, read_partitions
from provision.disks.inside.view import Pread, View
from provision.disks.source import opened
from provision.errors import InvalidInputError
from provision.guests.doctor import diagnose
from provision.guests.files import lines
from provision.guests.findings import Finding
from provision.guests.offers import Offers, read_offers
from provision.guests.system import System
from provision.progress import Phase, Progress, amount

EXT = ("ext2", "ext3", "ext4")
IGNORED = ("", "LVM2_member", "swap", "vfat")  # where no operating system is looked for
_STEP = 1000  # extents between two words of progress


@dataclass(frozen=True)
class Held:
    """A filesystem and its place: "disk", "partition 1" or "group/volume"; `size` in bytes of the place."""

    place: str
    size: int
    filesystem: Filesystem


@dataclass(frozen=True)
class Inspection:
    """All that is known of a disk file. Sizes in bytes; `data_bytes` is what of the virtual size is not empty."""

    file: str
    container: str
    format: str
    virtual_size: int
    data_bytes: int
    partition_table: PartitionTable
    volume_groups: tuple[VolumeGroup, ...]
    filesystems: tuple[Held, ...]
    bootloaders: tuple[Bootloader, ...]
    system: System | None
    offers: Offers | None
    findings: tuple[Finding, ...]
    unread: tuple[str, ...]


@dataclass(frozen=True)
class _Area:
    """A part of the disk that may hold a filesystem."""

    place: str
    size: int
    pread: Pread


def inspect_image(path: Path, progress: Progress, *, form: str | None = None) -> Inspection:
    """Look into the disk in the file at `path`. Raises InvalidInputError if that is no disk that we can read."""
    with opened(path, form) as source:
        with progress.phase(f"Reading {path.name}") as phase:
            view = View(_counted(source.disk, phase))
            phase.result(f"{amount(view.size)} disk, {amount(view.data)} of data")
        table = read_partitions(view)
        unread: list[str] = []
        areas, groups = _areas(view, table, unread)
        held = [Held(area.place, area.size, read_filesystem(area.pread, area.size)) for area in areas]
        bootloaders = read_bootloaders(view, table)
        with progress.phase("Looking into the guest") as phase:
            system, offers, findings = _examine(areas, held, unread, phase)
            phase.result(f"{len(findings)} findings")
    return Inspection(
        file=source.name,
        container=source.container,
        format=source.disk.format,
        virtual_size=view.size,
        data_bytes=view.data,
        partition_table=table,
        volume_groups=tuple(groups),
        filesystems=tuple(each for each in held if each.filesystem.kind),
        bootloaders=bootloaders,
        system=system,
        offers=offers,
        findings=findings,
        unread=tuple(unread),
    )


def _counted(disk: Disk, phase: Phase) -> Disk:
    """The same disk, whose passes say how far they are."""

    def extents() -> Iterator[Extent]:
        read = 0
        for number, extent in enumerate(disk.extents()):
            read += extent.size
            if not number % _STEP:
                phase.update(read, max(disk.stored, read), "bytes")
            yield extent

    return replace(disk, extents=extents)


def _areas(view: View, table: PartitionTable, unread: list[str]) -> tuple[list[_Area], list[VolumeGroup]]:
    """The partitions (or the disk, if it has none) and the logical volumes on them."""
    parts = [
        (f"partition {part.number}", part.start, min(part.size, view.size - part.start))
        for part in table.partitions
        if part.kind != EXTENDED_KIND and part.start < view.size
    ] or [("disk", 0, view.size)]
    areas, groups = [], []
    for place, start, size in parts:
        area = _Area(place, size, view.part((start, size)))
        areas.append(area)
        if read_filesystem(area.pread, size).kind != "LVM2_member":
            continue
        try:
            group = read_volumes(view, start, size)
        except InvalidInputError as exc:
            unread.append(f"LVM on {place}: {exc.message}")
            continue
        groups.append(group)
        for volume in group.volumes:
            if volume.kind == LINEAR and volume.runs:
                areas.append(_Area(f"{group.name}/{volume.name}", volume.size, view.part(*volume.runs)))
            else:
                unread.append(f"{group.name}/{volume.name}: a volume of type {volume.kind}, or on other disks")
    return areas, groups


@contextmanager
def guest_files(path: Path) -> Iterator[Tree | None]:
    """The files of the guest in the disk file at `path`, None if no filesystem that is read here holds one."""
    with opened(path) as source:
        view = View(source.disk)
        unread: list[str] = []
        areas, _groups = _areas(view, read_partitions(view), unread)
        held = [Held(area.place, area.size, read_filesystem(area.pread, area.size)) for area in areas]
        yield _tree(areas, held, unread)


def _examine(
    areas: list[_Area], held: list[Held], unread: list[str], phase: Phase
) -> tuple[System | None, Offers | None, tuple[Finding, ...]]:
    """The guest on those areas, and what is wrong with it."""
    tree = _tree(areas, held, unread)
    if tree is None:
        unread.append("the guest: no filesystem that is read here holds an operating system")
        return None, None, ()
    system, diagnosis = diagnose(tree, phase.note)
    unread.extend(diagnosis.unread)
    return system, _offers(tree, unread), diagnosis.findings


def _tree(areas: list[_Area], held: list[Held], unread: list[str]) -> Tree | None:
    """The files of the guest on those areas, None if there is none."""
    filesystems: dict[str, Ext4] = {}
    for area, each in zip(areas, held, strict=True):
        kind = each.filesystem.kind
        if kind in EXT and each.filesystem.size is not None:
            filesystems[area.place] = read_ext4(area.pread, area.size)
        elif kind not in IGNORED:
            unread.append(f"{area.place}: the files of {kind} are not read here")
    root = next((place for place, filesystem in filesystems.items() if _is_root(filesystem, place, unread)), None)
    return Tree(_mounts(filesystems, root, held, unread)) if root else None


def _offers(tree: Tree, unread: list[str]) -> Offers | None:
    try:
        return read_offers(tree)
    except InvalidInputError as exc:
        unread.append(f"what it offers: {exc.message}")
        return None


def _is_root(filesystem: Ext4, place: str, unread: list[str]) -> bool:
    try:
        return {"etc", "usr"} <= set(Tree({"/": filesystem}).names("/"))
    except InvalidInputError as exc:
        unread.append(f"{place}: {exc.message}")
        return False


def _mounts(filesystems: dict[str, Ext4], root: str, held: list[Held], unread: list[str]) -> dict[str, Ext4]:
    """The root and what its fstab mounts below it."""
    mounts = {"/": filesystems[root]}
    try:
        entries = [line.split() for line in lines(Tree(mounts), "/etc/fstab")]
    except InvalidInputError as exc:
        unread.append(f"/etc/fstab: {exc.message}")
        return mounts
    for fields in entries:
        path = fields[1].rstrip("/") if len(fields) >= 3 else ""
        named = next((each for each in held if path and _is_named(each, fields[0])), None)
        if named and named.place in filesystems and named.place != root:
            mounts[path] = filesystems[named.place]
        elif named and named.filesystem.kind not in (*EXT, *IGNORED):
            unread.append(f"{path}: on {named.place}, a filesystem that is not read here")
    return mounts


def _is_named(each: Held, name: str) -> bool:
    """True if fstab's `name` means this filesystem."""
    key, _, value = name.partition("=")
    number = each.place.removeprefix("partition ")
    group, _, volume = each.place.partition("/")
    mapped = f"{group.replace('-', '--')}-{volume.replace('-', '--')}"
    return (
        (key == "UUID" and value.strip('"').lower() == each.filesystem.uuid.lower() != "")
        or (key == "LABEL" and value.strip('"') == each.filesystem.label != "")
        or name in (f"/dev/{each.place}", f"/dev/mapper/{mapped}")
        or (name.startswith(("/dev/sda", "/dev/vda", "/dev/hda")) and name[8:] == number)
    )
