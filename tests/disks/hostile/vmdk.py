"""Hostile VMDKs: sparse, streamOptimized as qemu-img and as VirtualBox write them, and bare descriptors."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from tests.disks import virtualbox
from tests.disks.hostile.seeds import Make, changed, edited, file, number, seed, tar, zipped

SPARSE, STREAM, EXPORT = "vmdk-sparse", "vmdk-stream", "vmdk-stream-virtualbox"
GRAIN = 65536


def directory(whole: bytes) -> int:
    return number("<Q", 56)(whole) * 512


def table(index: int) -> Callable[[bytes], int]:
    return lambda whole: number("<I", directory(whole) + 4 * index)(whole) * 512


def entry(index: int) -> Callable[[bytes], int]:
    return lambda whole: table(0)(whole) + 4 * index


def sector(index: int) -> Callable[[bytes], int]:
    """What the entry of grain `index` says."""
    return lambda whole: number("<I", entry(index)(whole))(whole)


def grain(index: int) -> Callable[[bytes], int]:
    return lambda whole: sector(index)(whole) * 512


FIRST = 128 * 512  # where a stream's first grain begins


def footer(whole: bytes) -> int:
    """Where the footer of VirtualBox's begins: before the end-of-stream."""
    return len(whole) - 1024


def ending(kind: int) -> Callable[[bytes], int]:
    """Where the first marker of `kind` in VirtualBox's file stands: a table (1), or the directory (2)."""
    return lambda whole: whole.index(virtualbox.marker(4 if kind == 1 else 1, kind))


def after(place: Callable[[bytes], int], more: int) -> Callable[[bytes], int]:
    return lambda whole: place(whole) + more


HEADERS: dict[str, tuple[Make, str]] = {
    "magic": (edited(SPARSE, ("<I", 0, 0x564D444C)), "no disk that we know"),
    "version": (edited(SPARSE, ("<I", 4, 9)), "version 9"),
    "no line ends": (edited(SPARSE, ("<I", 73, 0x0A0A0A0A)), "copy as text"),
    "compression": (edited(SPARSE, ("<H", 77, 5)), "compression 5"),
    "compressed without markers": (edited(STREAM, ("<I", 8, 0x10001)), "without markers"),
    "capacity 0": (edited(SPARSE, ("<Q", 12, 0)), "do not say the same"),
    "capacity 2^63": (edited(SPARSE, ("<Q", 12, 2**63)), "capacity of"),
    "capacity 2^63 bytes": (edited(STREAM, ("<Q", 12, 2**54)), "capacity of"),
    "capacity 2^64-1": (edited(EXPORT, ("<Q", 12, 2**64 - 1)), "capacity of"),
    "grain 0": (edited(SPARSE, ("<Q", 20, 0)), "grain of 0 "),
    "grain 3": (edited(STREAM, ("<Q", 20, 3)), "grain of 3 "),
    "grain huge": (edited(SPARSE, ("<Q", 20, 2**62)), "grain of"),
    "grain of another size": (edited(STREAM, ("<Q", 20, 64)), "out of bounds|do not say the same"),
    "tables of 0": (edited(SPARSE, ("<I", 44, 0)), "table of 0 "),
    "tables huge": (edited(STREAM, ("<I", 44, 2**32 - 1)), "table of 4294967295"),
    "too many tables": (edited(SPARSE, ("<Q", 12, 2**36), ("<Q", 20, 8)), "too many"),
    "descriptor huge": (edited(SPARSE, ("<Q", 36, 2**31)), "descriptor of"),
    "descriptor far away": (edited(SPARSE, ("<Q", 28, 2**60)), "is cut off"),
    "no descriptor": (edited(SPARSE, ("<Q", 36, 0)), "names no extents"),
    "directory far away": (edited(SPARSE, ("<Q", 56, 2**60)), "is cut off"),
    "directory nowhere": (edited(SPARSE, ("<Q", 56, 2**64 - 1)), "no grain directory"),
    "directory is the header": (edited(SPARSE, ("<Q", 56, 0)), "byte"),
    "directory is a table": (edited(SPARSE, ("<Q", 56, lambda whole: table(0)(whole) // 512)), "byte"),
    "grains far away": (edited(STREAM, ("<Q", 64, 2**55)), "grains are said to begin"),
    "grains begin at the header": (edited(STREAM, ("<Q", 64, 0)), "out of bounds|no known kind"),
    "grains begin within one": (edited(STREAM, ("<Q", 64, 129)), "byte"),
    "another type": (
        file(lambda: seed(SPARSE).replace(b'"monolithicSparse"', b'"monolithicFlat"  ', 1)),
        "'monolithicFlat' of 1 extents",
    ),
    "names a file elsewhere": (file(lambda: seed(SPARSE).replace(b'SPARSE "disk"', b'SPARSE "/etc"', 1)), "line 8"),
    "two extents": (
        file(lambda: seed(SPARSE).replace(b"\n# The Disk Data Base", b'RW 9 SPARSE "b"\n# The Dis', 1)),
        "of 2 extents",
    ),
    "a difference": (file(lambda: seed(STREAM).replace(b"parentCID=ffffffff", b"parentCID=0badcafe")), "line 4"),
    "encrypted": (file(lambda: seed(STREAM).replace(b"ddb.adapterType", b"encryption.keys")), "is encrypted: line"),
}
MAPS: dict[str, tuple[Make, str]] = {
    "table outside": (edited(SPARSE, ("<I", directory, 2**32 - 1)), "reach beyond its end"),
    "table is the header": (edited(SPARSE, ("<I", after(directory, 4), 1)), "byte"),
    "table is the directory": (edited(SPARSE, ("<I", directory, lambda whole: directory(whole) // 512)), "byte"),
    "two tables in one place": (
        edited(SPARSE, ("<I", directory, lambda whole: table(1)(whole) // 512)),
        "two things lie at byte",
    ),
    "grain outside": (edited(SPARSE, ("<I", entry(0), 2**32 - 1)), "is outside of it"),
    "grain at the end": (edited(SPARSE, ("<I", entry(0), lambda whole: len(whole) // 512 - 1)), "reach beyond its end"),
    "grain is the header": (edited(SPARSE, ("<I", entry(1), 1)), "two things lie at byte"),
    "grain is the descriptor": (edited(SPARSE, ("<I", entry(1), 3)), "two things lie at byte"),
    "grain is a table": (
        edited(SPARSE, ("<I", entry(1), lambda whole: table(0)(whole) // 512)),
        "two things lie at byte",
    ),
    "two grains in one place": (edited(SPARSE, ("<I", entry(1), sector(0))), "two things lie at byte"),
    "grains overlap": (
        edited(SPARSE, ("<I", entry(1), lambda whole: sector(0)(whole) + 64)),
        "two things lie at byte",
    ),
    "a grain beyond the disk": (edited(SPARSE, ("<I", after(table(1), 2044), 128)), "is outside of it"),
    "stream: table outside": (edited(STREAM, ("<I", directory, 2**32 - 1)), "reach beyond its end"),
    "stream: table empty": (edited(STREAM, ("<I", directory, 0)), "leaves out grains"),
    "stream: tables swapped": (
        edited(STREAM, ("<Q", directory, lambda whole: number("<I", after(directory, 4)(whole))(whole))),
        "do not say the same|leaves out",
    ),
    "stream: entry is another grain's": (edited(STREAM, ("<I", entry(1), sector(0))), "do not say the same"),
    "stream: entry outside": (edited(STREAM, ("<I", entry(1), 2**31)), "do not say the same"),
    "stream: entry of no grain": (edited(STREAM, ("<I", entry(77), 128)), "do not say the same"),
    "stream: entry is missing": (edited(STREAM, ("<I", entry(1), 0)), "do not say the same"),
}
STREAMS: dict[str, tuple[Make, str]] = {
    "marker beyond the disk": (edited(STREAM, ("<Q", grain(1), 2**40)), "out of bounds"),
    "marker unaligned": (edited(STREAM, ("<Q", grain(1), 77)), "out of bounds"),
    "grain twice": (edited(STREAM, ("<Q", grain(1), 0)), "is there twice"),
    "grain of 2^32 bytes": (edited(STREAM, ("<I", after(grain(1), 8), 2**32 - 1)), "out of bounds"),
    "grain of 20 bytes": (edited(STREAM, ("<I", after(grain(1), 8), 20)), "too few for a grain"),
    "grain of 1 byte": (edited(STREAM, ("<I", after(grain(1), 8), 1)), "out of bounds"),
    "grain half as long": (edited(STREAM, ("<I", after(grain(0), 8), 4000)), "byte"),
    "no zlib": (edited(STREAM, ("<H", FIRST + 12, 0xFFFF)), "do not inflate"),
    "a dictionary": (edited(STREAM, ("<H", FIRST + 12, 0x2078)), "do not inflate"),
    "flipped bits": (edited(STREAM, ("<Q", FIRST + 2000, 0x0123456789ABCDEF)), "inflate"),
    "bad sum": (file(lambda: with_grain(zlib.compress(bytes(GRAIN))[:-1] + b"\x55")), "do not inflate"),
    "inflates to more": (file(lambda: with_grain(zlib.compress(bytes(GRAIN + 1)))), "do not inflate to at most 65536"),
    "inflates to much more": (file(lambda: with_grain(zlib.compress(bytes(50 * 2**20)))), "do not inflate to at most"),
    "inflates to less": (file(lambda: with_grain(zlib.compress(bytes(GRAIN - 512)))), "inflate to 65024 bytes of"),
    "of no known kind": (edited(EXPORT, ("<I", after(ending(1), 12), 77)), "no known kind"),
    "table of another size": (edited(EXPORT, ("<Q", ending(1), 5)), "of the wrong size"),
    "directory of 2^63 sectors": (edited(EXPORT, ("<Q", ending(2), 2**63)), "no known kind"),
    "table is wrong": (edited(EXPORT, ("<I", after(ending(1), 512), 999)), "do not say the same"),
    "directory is elsewhere": (edited(EXPORT, ("<I", after(ending(2), 512), 999)), "not where it should be"),
    "footer's directory outside": (edited(EXPORT, ("<Q", after(footer, 56), 2**50)), "is cut off"),
    "footer's directory nowhere": (edited(EXPORT, ("<Q", after(footer, 56), 2**64 - 1)), "do not say the same"),
    "footer's capacity": (edited(EXPORT, ("<Q", after(footer, 12), 128)), "do not say the same"),
    "footer's grain": (edited(EXPORT, ("<Q", after(footer, 20), 64)), "do not say the same"),
    "footer's magic": (edited(EXPORT, ("<I", footer, 0)), "no VMDK begins"),
    "no footer": (edited(EXPORT, ("<I", after(footer, -500), 0), ("<Q", after(footer, -512), 0)), "without a footer"),
    "ends early": (edited(EXPORT, ("<Q", FIRST + 8, 0)), "without a footer"),
    "a table for every grain": (
        file(lambda: zipped(tar(("disk.vmdk", spread(70000))))),
        "more than 65536 grain tables",
    ),
}


def with_grain(packed: bytes) -> bytes:
    """A stream of one grain, as VirtualBox writes it, whose content is `packed`."""
    text = virtualbox.descriptor("streamOptimized", 'RDONLY 128 SPARSE "disk"')
    whole = virtualbox.header(128, len(text), virtualbox.AT_END).ljust(512, b"\0") + text.ljust(127 * 512, b"\0")
    whole += _aligned(struct.pack("<QI", 0, len(packed)) + packed)
    place = len(whole) // 512 + 1
    whole += virtualbox.marker(4, 1) + struct.pack("<I", 128).ljust(2048, b"\0")
    whole += virtualbox.marker(1, 2) + struct.pack("<I", place).ljust(512, b"\0")
    end = virtualbox.header(128, len(text), place + 5).ljust(512, b"\0")
    return whole + virtualbox.marker(1, 3) + end + virtualbox.marker(0, 0)


def _aligned(whole: bytes) -> bytes:
    return whole + bytes(-len(whole) % 512)


def spread(count: int) -> bytes:
    """A stream of `count` tiny grains, each of which needs another grain table."""
    grain, sectors = zlib.compress(bytes(4096)), 512 * 8
    whole = bytearray(changed(EXPORT, ("<Q", 12, count * sectors), ("<Q", 20, 8), cut=FIRST))
    start = whole.index(b"RDONLY ")
    end = whole.index(b" SPARSE", start)
    whole[start:end] = b"RDONLY %d" % (count * sectors)
    return bytes(whole[:FIRST]) + b"".join(
        (struct.pack("<QI", n * sectors, len(grain)) + grain).ljust(512, b"\0") for n in range(count)
    )


def described(*lines: str, kind: str = "monolithicFlat") -> Callable[[Path], Path]:
    text = "\n".join(["# Disk DescriptorFile", "version=1", "parentCID=ffffffff", f'createType="{kind}"', *lines, ""])
    return file(text.encode("utf-8", "surrogateescape"))


def beside(make: Make, spoil: Callable[[Path], object]) -> Make:
    """The same, with something else in the folder."""

    def both(folder: Path) -> Path:
        spoil(folder)
        return make(folder)

    return both


def wrote(whole: bytes | Callable[[], bytes]) -> Callable[[Path], object]:
    return lambda folder: (folder / "data").write_bytes(whole if isinstance(whole, bytes) else whole())


DATA = described('RW 8 FLAT "data" 0')
PART = described('RW 81923 SPARSE "data"', kind="twoGbMaxExtentSparse")


def huge(folder: Path) -> Path:
    path = described('RW 8 FLAT "data" 0')(folder)
    os.truncate(path, 2**40)
    return path


DESCRIPTORS: dict[str, tuple[Make, str]] = {
    "/etc/shadow": (described('RW 8 FLAT "/etc/shadow" 0'), "not a file beside the disk: line 5"),
    "../x": (described('RW 8 FLAT "../x" 0'), "not a file beside the disk: line 5"),
    "x/../../y": (described('RW 8 FLAT "x/../../y" 0'), "not a file beside the disk: line 5"),
    "C:\\x": (described('RW 8 FLAT "C:\\x" 0'), "not a file beside the disk: line 5"),
    "a device": (described('RW 8 FLAT "/dev/sda" 0'), "not a file beside the disk: line 5"),
    "another device": (described('RW 8 VMFSRDM "/dev/sda" 0'), "of kind VMFSRDM, .* line 5"),
    "no name": (described('RW 8 FLAT "" 0'), "line 5"),
    "a folder": (described('RW 8 FLAT "." 0'), "line 5"),
    "a folder beside it": (beside(DATA, lambda folder: (folder / "data").mkdir()), "no ordinary file"),
    "a pipe": (beside(DATA, lambda folder: os.mkfifo(folder / "data")), "no ordinary file"),
    "a link": (beside(DATA, lambda folder: (folder / "data").symlink_to("/etc/shadow")), "cannot be read"),
    "a device node": (beside(DATA, lambda folder: os.mknod(folder / "data", 0o20600, os.makedev(1, 5))), "no ordinary"),
    "itself": (described('RW 1 FLAT "disk" 0'), "is a disk file itself"),
    "a qcow2": (beside(DATA, wrote(b"QFI\xfb" + bytes(9000))), "is a disk file itself"),
    "a VDI": (beside(DATA, wrote(bytes(64) + b"\x7f\x10\xda\xbe" + bytes(9000))), "is a disk file itself"),
    "a file that is not there": (DATA, "needs the file data"),
    "a file that is too short": (beside(DATA, wrote(bytes(4000))), "is cut off: .* byte 4096"),
    "behind the end of a file": (
        beside(described('RW 8 FLAT "data" 9223372036854775807'), wrote(bytes(4096))),
        "is cut off",
    ),
    "a part that is no VMDK": (beside(PART, wrote(bytes(2**16))), "no VMDK begins here"),
    "a part that is a stream": (beside(PART, wrote(lambda: seed(STREAM))), "compressed"),
    "a part of another size": (
        beside(PART, wrote(lambda: changed(SPARSE, ("<Q", 12, 9999 * 128)))),
        "bytes of the disk, and should have",
    ),
    "2^63 sectors": (described('RW 9223372036854775807 FLAT "data" 0'), "names? |speaks of"),
    "2^64 sectors": (described('RW 18446744073709551615999 FLAT "data" 0'), "line 5"),
    "sectors of zeros without end": (described("RW 9007199254740992 ZERO"), "speaks of"),
    "a difference": (described("parentCID=0badcafe", 'RW 8 FLAT "data" 0'), "line 5|second time"),
    "encrypted": (described('encryption.keySafe = "vmware:key"', 'RW 8 FLAT "data" 0'), "is encrypted: line 5"),
    "of no type": (described('RW 8 FLAT "data" 0', kind="custom\x1b[31m" + "x" * 9000), "of type"),
    "a file twice": (described('RW 8 FLAT "data" 0', 'RW 8 FLAT "data" 8'), "names a file twice"),
    "nonsense": (described("who knows\x1b[2J"), "line 5"),
    "no extents": (described(), "names no extents"),
    "no UTF-8": (described('RW 8 FLAT "\udcff\udcfe" 0'), "needs the file"),
    "NUL in a name": (described('RW 8 FLAT "da\0ta" 0'), "line 5"),
    "only NULs behind the magic": (file(b"# Disk DescriptorFile" + bytes(5000)), "names no extents"),
    "of 2^40 bytes": (huge, "byte|line"),
    "a line of a MiB": (described("a" * 2**20), "line 5|byte"),
    "half a million lines": (described("\n" * 500_000), "no extents|byte"),
}
