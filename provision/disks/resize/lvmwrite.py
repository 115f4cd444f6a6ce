"""LVM2's metadata, written: a volume group packed to the beginning of its one physical volume."""

import copy
import os
import struct
from collections.abc import Mapping
from dataclasses import replace

from provision.disks.extents import SECTOR
from provision.disks.inside.lvm import (
    AREA_HEADER,
    AREA_MAGIC,
    IGNORED,
    LABEL_SECTORS,
    Area,
    PhysicalVolume,
    Run,
    VolumeGroup,
    area_pointers,
    checksum,
    integer,
    subsection,
)
from provision.disks.inside.lvmtext import Section, written

ALIGNMENT = 2**20


def packed(group: VolumeGroup, sizes: Mapping[str, int]) -> VolumeGroup:
    """`group` with each volume in one run, none free between them, and those in `sizes` that large (in bytes).

    All must be linear and on this physical volume, which ends behind them.
    """
    place, runs = group.data, {}
    for volume in sorted(group.volumes, key=lambda volume: min(volume.runs, default=Run(0, 0))):
        size = -(-sizes.get(volume.name, volume.size) // group.extent_size) * group.extent_size
        runs[volume.name] = Run(place, size)
        place += size
    physical = _shortened(group, place)
    volumes = tuple(replace(each, size=runs[each.name].size, runs=(runs[each.name],)) for each in group.volumes)
    text = copy.deepcopy(group.text)
    _edit(subsection(text, group.name, group.physical_volume.start), group, runs, physical)
    return replace(group, volumes=volumes, physical_volume=physical, text=text)


def _shortened(group: VolumeGroup, end: int) -> PhysicalVolume:
    """The physical volume with its extents ending at `end`, and the metadata areas behind them moved there."""
    physical, areas = group.physical_volume, []
    size = _aligned(end - physical.start)
    for area in physical.areas:
        if area.place >= group.data - physical.start:
            area = area._replace(place=min(size, area.place))  # noqa: PLW2901 - the same area, elsewhere
            size = _aligned(area.place + area.size)
        areas.append(area)
    return replace(physical, size=min(size, physical.size), areas=tuple(areas))


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _edit(body: Section, group: VolumeGroup, runs: Mapping[str, Run], physical: PhysicalVolume) -> None:
    start = physical.start
    body["seqno"] = integer(body, "seqno", start) + 1
    volumes = subsection(body, "physical_volumes", start)
    (own,) = volumes
    facts = subsection(volumes, own, start)
    facts["dev_size"] = physical.size // SECTOR
    facts["pe_count"] = sum(run.size for run in runs.values()) // group.extent_size
    for name, run in runs.items():
        volume = subsection(subsection(body, "logical_volumes", start), name, start)
        for key in [key for key in volume if key.startswith("segment")]:
            del volume[key]
        stripe: list[int | str] = [own, (run.place - group.data) // group.extent_size]
        volume["segment_count"] = 1
        volume["segment1"] = {
            "start_extent": 0,
            "extent_count": run.size // group.extent_size,
            "type": "striped",
            "stripe_count": 1,
            "stripes": stripe,
        }


def write_volumes(file: int, old: VolumeGroup, new: VolumeGroup) -> None:
    """Write `new`, which was packed from `old`, to the disk in `file`: the label and every metadata area."""
    physical = new.physical_volume
    _write_label(file, old.physical_volume, physical)
    text = written(new.text).encode("latin-1") + b"\0"
    for area in physical.areas:
        _write_area(file, physical.start, area, text if area.text_size else b"")


def _write_label(file: int, old: PhysicalVolume, new: PhysicalVolume) -> None:
    for place in range(old.start, old.start + LABEL_SECTORS * SECTOR, SECTOR):
        label = bytearray(os.pread(file, SECTOR, place))
        if label[:8] != b"LABELONE":
            continue
        (header,) = struct.unpack_from("<I", label, 20)
        struct.pack_into("<Q", label, header + 32, new.size)
        for pointer, area in zip(area_pointers(bytes(label), header), new.areas, strict=True):
            struct.pack_into("<QQ", label, pointer, area.place, area.size)
        struct.pack_into("<I", label, 16, checksum(bytes(label[20:])))
        os.pwrite(file, label, place)


def _write_area(file: int, start: int, area: Area, text: bytes) -> None:
    """Write `text` behind the area's last one, as LVM does, then the header that points to it."""
    ring = area.size - AREA_HEADER
    last = area.text_place + area.text_size - AREA_HEADER
    place = AREA_HEADER + -(-last // SECTOR) * SECTOR % ring if text else 0
    first = text[: area.size - place]
    os.pwrite(file, first, start + area.place + place)
    os.pwrite(file, text[len(first) :], start + area.place + AREA_HEADER)
    pointer = struct.pack("<QQII", place, len(text), checksum(text) if text else 0, 0 if text else IGNORED)
    header = struct.pack("<16sIQQ", AREA_MAGIC, 1, area.place, area.size) + pointer
    header = header.ljust(AREA_HEADER - 4, b"\0")
    os.pwrite(file, struct.pack("<I", checksum(header)) + header, start + area.place)
