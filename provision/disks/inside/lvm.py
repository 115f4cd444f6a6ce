"""LVM2 on one physical volume: what lies where, read without LVM, root or device-mapper (lib/format_text of LVM2)."""

import re
import struct
import zlib
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple, Protocol

from provision.disks.extents import SECTOR
from provision.disks.inside.lvmtext import Section, Value, parse
from provision.errors import InvalidInputError

LINEAR = "linear"
TEXT_LIMIT = 2**20  # bytes; a real volume group's text has 1 to 30 KiB
AREA_HEADER = 512  # bytes before the ring of texts in a metadata area
AREA_MAGIC = b" LVM2 x[5A%r0N*>"
LABEL_SECTORS = 4  # the label is in one of the first four
_CRC_START = 0xF597A6CF
IGNORED = 1  # a metadata area that is not in use
_HINT = "Repair the volume group in its machine (vgck), and export the disk again."


class Readable(Protocol):
    """What can be read anywhere: a window, a view of a disk."""

    def pread(self, place: int, length: int, /) -> bytes:
        """Exactly `length` bytes from `place`."""


class Run(NamedTuple):
    """`size` bytes of the disk from byte `place` on."""

    place: int
    size: int


class Area(NamedTuple):
    """A metadata area: `place` and `size` within the physical volume; its newest text within the area, if any."""

    place: int
    size: int
    text_place: int
    text_size: int


@dataclass(frozen=True)
class Volume:
    """A logical volume. `kind` is linear or what LVM calls it; only a linear one has `runs`, in its own order."""

    name: str
    uuid: str
    kind: str
    size: int
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class PhysicalVolume:
    """The physical volume: `start` and `size` in bytes of the disk, and its metadata areas."""

    start: int
    size: int
    uuid: str
    areas: tuple[Area, ...]


@dataclass(frozen=True)
class VolumeGroup:
    """A volume group and the physical volume that it was read from. `data` is the disk's byte of the first extent.

    `extent_size` is in bytes; `physical_volumes` counts all of them, also those on other disks; `text` is all of it.
    """

    name: str
    uuid: str
    extent_size: int
    data: int
    physical_volumes: int
    volumes: tuple[Volume, ...]
    physical_volume: PhysicalVolume
    text: Section


def checksum(data: bytes) -> int:
    """LVM's CRC: CRC-32 with a start value of its own and no final inversion."""
    return zlib.crc32(data, _CRC_START ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def read_volumes(disk: Readable, start: int, size: int) -> VolumeGroup:
    """The volume group of the physical volume in the `size` bytes of `disk` from byte `start` on.

    Raises InvalidInputError if there is none or it makes no sense.
    """
    physical = _read_label(disk, start, size)
    texts = [_text(disk, start, area).rstrip(b"\0").decode("latin-1") for area in physical.areas if area.text_size]
    if not texts:
        raise _wrong(start, "keeps no metadata of a volume group")
    sections = [parse(text, f"The LVM physical volume at byte {start}") for text in texts]
    return _group(max(sections, key=lambda section: integer(_body(section, start)[1], "seqno", start)), physical)


def _read_label(disk: Readable, start: int, size: int) -> PhysicalVolume:
    head = disk.pread(start, min(LABEL_SECTORS * SECTOR, size))
    for place in range(0, len(head) - SECTOR + 1, SECTOR):
        label = head[place : place + SECTOR]
        if label[:8] == b"LABELONE" and label[24:32] == b"LVM2 001":
            sector, expected, header = struct.unpack_from("<QII", label, 8)
            if sector * SECTOR != place or checksum(label[20:]) != expected:
                raise _wrong(start + place, "has a damaged label")
            areas = [_read_area(disk, start, size, label, place) for place in area_pointers(label, header)]
            uuid = label[header : header + 32].decode("latin-1")
            return PhysicalVolume(start, size, uuid, tuple(areas))
    raise _wrong(start, "has no label")


def area_pointers(label: bytes, header: int) -> list[int]:
    """Where `label` has the metadata areas' offsets and sizes: behind the UUID, the size and the list of data areas."""
    lists: list[list[int]] = [[], []]
    place = header + 40
    while lists and place + 16 <= len(label):
        if label[place : place + 8] == bytes(8):
            ended = lists.pop(0)
        else:
            lists[0].append(place)
        place += 16
    return [] if lists else ended


def _read_area(disk: Readable, start: int, size: int, label: bytes, pointer: int) -> Area:
    place, length = struct.unpack_from("<QQ", label, pointer)
    if place % SECTOR or length % SECTOR or not AREA_HEADER < length <= size - place:
        raise _wrong(start + place, "has a metadata area that does not lie in it")
    header = disk.pread(start + place, AREA_HEADER)
    expected, magic, version, own, own_size = struct.unpack_from("<I16sIQQ", header)
    if magic != AREA_MAGIC or version != 1 or (own, own_size) != (place, length) or checksum(header[4:]) != expected:
        raise _wrong(start + place, "has a damaged metadata area")
    text_place, text_size, text_sum, flags = struct.unpack_from("<QQII", header, 40)
    if not text_place or flags & IGNORED:
        return Area(place, length, 0, 0)
    if not AREA_HEADER <= text_place < length or not text_size <= min(length - AREA_HEADER, TEXT_LIMIT):
        raise _wrong(start + place, "has a metadata area that points outside of itself")
    area = Area(place, length, text_place, text_size)
    if checksum(_text(disk, start, area)) != text_sum:
        raise _wrong(start + place + text_place, "has damaged metadata")
    return area


def _text(disk: Readable, start: int, area: Area) -> bytes:
    """The text of a metadata area, which goes on behind the area's header where it reaches the end."""
    first = min(area.text_size, area.size - area.text_place)
    text = disk.pread(start + area.place + area.text_place, first)
    return text + disk.pread(start + area.place + AREA_HEADER, area.text_size - first)


def _group(section: Section, physical: PhysicalVolume) -> VolumeGroup:
    start = physical.start
    name, body = _body(section, start)
    extent_size = integer(body, "extent_size", start) * SECTOR
    volumes = subsection(body, "physical_volumes", start)
    own, facts = _own_volume(volumes, physical)
    first, count = integer(facts, "pe_start", start) * SECTOR, integer(facts, "pe_count", start)
    if not extent_size or first + count * extent_size > physical.size:
        raise _wrong(start, "has extents that do not lie in it")
    group = VolumeGroup(
        name, _string(body, "id", start), extent_size, start + first, len(volumes), (), physical, section
    )
    logical = body.get("logical_volumes", {})
    if not isinstance(logical, dict):
        raise _wrong(start, "has no list of volumes")
    found = tuple(_volume(each, subsection(logical, each, start), group, own, count) for each in logical)
    _check_apart([run for volume in found for run in volume.runs], start)
    return replace(group, volumes=found)


def _body(section: Section, start: int) -> tuple[str, Section]:
    """The volume group's name and section."""
    for name, value in section.items():
        if isinstance(value, dict):
            return name, value
    raise _wrong(start, "has metadata without a volume group")


def _own_volume(volumes: Section, physical: PhysicalVolume) -> tuple[str, Section]:
    """What the group calls the physical volume with this label, and what it says of it."""
    for name in volumes:
        facts = subsection(volumes, name, physical.start)
        if _string(facts, "id", physical.start).replace("-", "") == physical.uuid:
            return name, facts
    raise _wrong(physical.start, "is no part of its own volume group")


def _volume(name: str, facts: Section, group: VolumeGroup, own: str, extents: int) -> Volume:
    start = group.physical_volume.start
    segments = [subsection(facts, key, start) for key in facts if re.fullmatch("segment[0-9]+", key)]
    segments.sort(key=lambda segment: integer(segment, "start_extent", start))
    counts = [integer(segment, "extent_count", start) for segment in segments]
    if not all(counts) or not counts:
        raise _wrong(start, "has a volume without extents")
    kinds = {_kind(segment, start) for segment in segments} - {LINEAR}
    stripes = [segment.get("stripes") for segment in segments]
    runs = [_run(group, own, extents, *pair) for pair in zip(stripes, counts, strict=True)] if not kinds else []
    size = sum(counts) * group.extent_size
    return Volume(
        name, _string(facts, "id", start), ", ".join(sorted(kinds)) or LINEAR, size, tuple(filter(None, runs))
    )


def _kind(segment: Section, start: int) -> str:
    kind = _string(segment, "type", start)
    return LINEAR if kind == "striped" and segment.get("stripe_count", 1) == 1 else kind or "unknown"


def _run(group: VolumeGroup, own: str, extents: int, stripes: Value | None, count: int) -> Run | None:
    """Where a linear segment lies; None if on another disk."""
    match stripes:
        case [str(name), int(first)] if name != own or 0 <= first <= extents - count:
            return Run(group.data + first * group.extent_size, count * group.extent_size) if name == own else None
    raise _wrong(group.physical_volume.start, "has a volume that does not lie in it")


def _check_apart(runs: list[Run], start: int) -> None:
    runs.sort()
    if any(first.place + first.size > second.place for first, second in pairwise(runs)):
        raise _wrong(start, "has volumes that overlap")


def subsection(section: Section, key: str, start: int) -> Section:
    """The section `key` of `section`; `start` says in messages whose."""
    value = section.get(key)
    if not isinstance(value, dict):
        raise _wrong(start, f"has metadata without {key}")
    return value


def integer(section: Section, key: str, start: int) -> int:
    """The number `key` of `section`; `start` says in messages whose."""
    value = section.get(key)
    if not isinstance(value, int) or value < 0:
        raise _wrong(start, f"has metadata without {key}")
    return value


def _string(section: Section, key: str, start: int) -> str:
    value = section.get(key)
    if not isinstance(value, str):
        raise _wrong(start, f"has metadata without {key}")
    return value


def _wrong(place: int, what: str) -> InvalidInputError:
    return InvalidInputError(f"The LVM physical volume at byte {place} of the disk {what}.", hint=_HINT)
