"""Partition tables, read without root: MBR with logical partitions, and GPT with its two headers.

After the UEFI specification 2.10, chapter 5; for extended partitions the kernel's block/partitions/msdos.c.
"""

import struct
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from provision.disks.extents import SECTOR
from provision.disks.inside.view import View
from provision.errors import InvalidInputError

PROTECTIVE, EXTENDED = 0xEE, (0x05, 0x0F, 0x85)
MOST_LOGICAL, MOST_ENTRIES, LARGEST_ENTRY = 128, 1024, 4096
FIRST_LOGICAL = 5

EFI_SYSTEM = "EFI system"
BIOS_BOOT = "BIOS boot"
EXTENDED_KIND = "extended"
MBR_KINDS = {
    0x01: "FAT12",
    0x06: "FAT16",
    0x07: "NTFS or exFAT",
    0x0B: "FAT32",
    0x0C: "FAT32",
    0x0E: "FAT16",
    0x82: "Linux swap",
    0x83: "Linux",
    0x8E: "Linux LVM",
    0xEF: EFI_SYSTEM,
    0xFD: "Linux RAID",
    **dict.fromkeys(EXTENDED, EXTENDED_KIND),
}
GPT_KINDS = {
    "c12a7328-f81f-11d2-ba4b-00a0c93ec93b": EFI_SYSTEM,
    "21686148-6449-6e6f-744e-656564454649": BIOS_BOOT,
    "0fc63daf-8483-4772-8e79-3d69d8477de4": "Linux",
    "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "Linux root (x86-64)",
    "bc13c2ff-59e6-4262-a352-b275fd6f7172": "Linux boot",
    "933ac7e1-2eb4-4f13-b844-0e14e2aef915": "Linux home",
    "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "Linux swap",
    "e6d6d379-f507-44c2-a23c-238f2a3df928": "Linux LVM",
    "a19d880f-05fc-4d3b-a006-743f0f84911e": "Linux RAID",
    "ca7d7ccb-63ed-4c53-861c-1742536059cc": "LUKS",
    "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "Microsoft data",
}


@dataclass(frozen=True)
class Partition:
    """One partition: `start` and `size` in bytes, `kind` what the table says is in it."""

    number: int
    start: int
    size: int
    kind: str
    name: str = ""
    bootable: bool = False


@dataclass(frozen=True)
class PartitionTable:
    """`label` is "dos", "gpt" or "none"; `notes` are what is odd about it."""

    label: str
    partitions: tuple[Partition, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Header:
    place: int
    alternate: int
    entries: int
    count: int
    entry_size: int
    entries_crc: int


def read_partitions(view: View) -> PartitionTable:
    """The partition table of a disk. A damaged one is read as far as it can be, and `notes` say so."""
    if view.size < 2 * SECTOR:
        return PartitionTable("none", ())
    primaries = _primaries(view)
    if primaries is None:
        return PartitionTable("none", ())
    protective = any(code == PROTECTIVE for _, code, _, _ in primaries)
    if protective or not primaries:
        try:
            return _gpt(view, len(primaries) == 1, protective)
        except InvalidInputError as exc:
            if protective:
                return PartitionTable("gpt", (), (exc.message,))
    return _mbr(view, primaries)


def _primaries(view: View) -> list[tuple[int, int, Partition, int]] | None:
    """(status, code, partition, place of its own table) of an MBR's used entries; None if there is no MBR."""
    found = _entries(view, 0, 0, 0, 4)
    if found is None or any(status & 0x7F for status, _, _, _ in found):
        return None  # a boot sector without a table, such as a filesystem's own
    return found


def _entries(view: View, place: int, base: int, chain: int, count: int) -> list[tuple[int, int, Partition, int]] | None:
    """The used entries of the table at byte `place`: partitions count from there, further tables from `chain`."""
    sector = view.pread(place, SECTOR)
    if sector[510:] != b"\x55\xaa":
        return None
    found = []
    for number in range(count):
        status, code, first, sectors = struct.unpack_from("<B3xB3xII", sector, 446 + 16 * number)
        if code and sectors:
            kind = MBR_KINDS.get(code, f"type {code:#04x}")
            part = Partition(number + 1, base + first * SECTOR, sectors * SECTOR, kind, bootable=status == 0x80)
            found.append((status, code, part, chain + first * SECTOR))
    return found


def _mbr(view: View, primaries: list[tuple[int, int, Partition, int]]) -> PartitionTable:
    partitions: list[Partition] = []
    notes: list[str] = []
    for _, code, part, _ in primaries:
        partitions.append(part)
        if code in EXTENDED:
            partitions += _logicals(view, part.start, notes)
    partitions.sort(key=lambda part: part.number)
    return PartitionTable("dos", tuple(partitions), (*notes, *_outside(view, partitions)))


def _logicals(view: View, start: int, notes: list[str]) -> Iterator[Partition]:
    """The logical partitions of an extended one: a chain of tables, each with one partition and a pointer."""
    place, seen = start, set[int]()
    while place not in seen and len(seen) < MOST_LOGICAL:
        seen.add(place)
        found = _entries(view, place, place, start, 2) if place + SECTOR <= view.size else None
        if found is None:
            notes.append(f"The chain of logical partitions breaks off at byte {place}.")
            return
        for _, code, part, _ in found:
            if code not in EXTENDED:
                yield Partition(FIRST_LOGICAL + len(seen) - 1, part.start, part.size, part.kind, "", part.bootable)
        following = [chained for _, code, _, chained in found if code in EXTENDED]
        if not following:
            return
        place = following[0]
    notes.append(f"The chain of logical partitions leads back to byte {place} or has no end.")


def _gpt(view: View, alone: bool, protective: bool) -> PartitionTable:
    notes: list[str] = []
    header = _sound(view, SECTOR, "first", notes)
    last = view.size // SECTOR * SECTOR - SECTOR
    backup_place = header.alternate if header and header.alternate + SECTOR <= view.size else last
    backup = _sound(view, backup_place, "backup", notes)
    used = header or backup
    if not used:
        raise InvalidInputError(" ".join(notes))
    if header and header.alternate != last:
        notes.append(f"The backup GPT header belongs at byte {header.alternate}; the disk's last sector is at {last}.")
    if not protective:
        notes.append("There is no protective MBR.")
    elif not alone:
        notes.append("The MBR is a hybrid: it names partitions of its own.")
    partitions = list(_gpt_entries(view, used))
    return PartitionTable("gpt", tuple(partitions), (*notes, *_outside(view, partitions)))


def _sound(view: View, place: int, which: str, notes: list[str]) -> _Header | None:
    try:
        return _header(view, place)
    except InvalidInputError as exc:
        notes.append(f"The {which} GPT header at byte {place} is of no use: {exc.message}.")
        return None


def _header(view: View, place: int) -> _Header:
    """A GPT header whose two checksums are right."""
    raw = view.pread(place, SECTOR)
    magic, _, size, crc = struct.unpack_from("<8sIII", raw)
    if magic != b"EFI PART" or not 92 <= size <= SECTOR:
        raise InvalidInputError("it is none")
    if zlib.crc32(raw[:16] + bytes(4) + raw[20:size]) != crc:
        raise InvalidInputError("its checksum is wrong")
    own, alternate = struct.unpack_from("<QQ", raw, 24)
    entries, count, entry_size, entries_crc = struct.unpack_from("<QIII", raw, 72)
    header = _Header(own * SECTOR, alternate * SECTOR, entries * SECTOR, count, entry_size, entries_crc)
    if header.place != place or not 0 < count <= MOST_ENTRIES or entry_size % 128 or not entry_size <= LARGEST_ENTRY:
        raise InvalidInputError("what it says of itself cannot be")
    if not entry_size or zlib.crc32(view.pread(header.entries, count * entry_size)) != entries_crc:
        raise InvalidInputError("the checksum of its entries is wrong")
    return header


def _gpt_entries(view: View, header: _Header) -> Iterator[Partition]:
    for number in range(header.count):
        raw = view.pread(header.entries + number * header.entry_size, 128)
        kind = str(uuid.UUID(bytes_le=raw[:16]))
        first, last, flags = struct.unpack_from("<QQQ", raw, 32)
        if any(raw[:16]) and last >= first:
            name = raw[56:].decode("utf-16-le", errors="replace").split("\0")[0]
            size = (last - first + 1) * SECTOR
            yield Partition(
                number + 1, first * SECTOR, size, GPT_KINDS.get(kind, f"type {kind}"), name, bool(flags & 4)
            )


def _outside(view: View, partitions: list[Partition]) -> Iterator[str]:
    for part in partitions:
        if part.start + part.size > view.size:
            yield f"Partition {part.number} ends at byte {part.start + part.size}, the disk at {view.size}."
