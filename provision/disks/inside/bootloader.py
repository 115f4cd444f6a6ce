"""What starts a disk's operating system: boot code in the MBR, programs in EFI system partitions."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from provision.disks.extents import SECTOR
from provision.disks.inside import fat
from provision.disks.inside.partitions import BIOS_BOOT, EFI_SYSTEM, PartitionTable
from provision.disks.inside.view import View
from provision.errors import InvalidInputError

BOOT_CODE = 440  # bytes of an MBR
_GRUB_NEXT = 0x5C  # where GRUB 2's boot.img keeps the sector of core.img (its GRUB_BOOT_MACHINE_KERNEL_SECTOR)
_PROGRAMS = 20  # of one EFI system partition that are named
_MARKS = ((b"LILO", "LILO"), (b"Missing operating system", "a standard MBR, which starts the active partition"))


@dataclass(frozen=True)
class Bootloader:
    """A boot loader: `firmware` is "bios" or "efi", `place` where it is, `detail` what was found there."""

    name: str
    firmware: str
    place: str
    detail: str


def read_bootloaders(view: View, table: PartitionTable) -> tuple[Bootloader, ...]:
    """The boot loaders of a disk; none if there is none that is known by its looks."""
    return (*_bios(view, table), *_efi(view, table))


def _bios(view: View, table: PartitionTable) -> Iterator[Bootloader]:
    code = view.pread(0, BOOT_CODE) if view.size >= SECTOR else b""
    if not any(code):
        return
    if b"GRUB " in code:
        yield Bootloader("GRUB", "bios", "MBR", _core(view, table, code))
        return
    name = next((name for mark, name in _MARKS if mark in code), "unknown boot code")
    yield Bootloader(name, "bios", "MBR", "")


def _core(view: View, table: PartitionTable, code: bytes) -> str:
    """Where GRUB goes on."""
    (sector,) = struct.unpack_from("<Q", code, _GRUB_NEXT)
    place = sector * SECTOR
    if place + SECTOR > view.size or not any(view.pread(place, SECTOR)):
        return f"its core is missing: sector {sector} is empty or outside"
    inside = [part for part in table.partitions if part.start <= place < part.start + part.size]
    bios = next((part.number for part in inside if part.kind == BIOS_BOOT), None)
    if bios:
        return f"core at sector {sector}, in BIOS boot partition {bios}"
    return f"core at sector {sector}, {f'in partition {inside[0].number}' if inside else 'before the first partition'}"


def _efi(view: View, table: PartitionTable) -> Iterator[Bootloader]:
    for part in table.partitions:
        if part.kind != EFI_SYSTEM:
            continue
        place = f"EFI system partition {part.number}"
        try:
            found = fat.read_fat(view.part((part.start, part.size)), part.size)
            programs = [
                f"EFI/{folder}/{name}"
                for folder in fat.names(found, "EFI")
                for name in fat.names(found, "EFI", folder)
                if name.lower().endswith(".efi")
            ]
        except InvalidInputError as exc:
            yield Bootloader("unknown", "efi", place, f"it cannot be read: {exc.message}")
            continue
        if programs:
            name = "GRUB" if any("grub" in program.lower() for program in programs) else "EFI"
            yield Bootloader(name, "efi", place, ", ".join(programs[:_PROGRAMS]))
